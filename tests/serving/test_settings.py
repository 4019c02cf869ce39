from __future__ import annotations

import builtins

import pytest

from tellapart.errors import MissingDependencyError, UserError
from tellapart.listening import is_loopback
from tellapart.serving.settings import ServeSettings, check_packages


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_hosts_of_this_machine_need_no_token(host):
    assert is_loopback(ServeSettings("model", host=host).host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_hosts_are_refused_without_a_token_file(host, tmp_path):
    with pytest.raises(UserError, match="--token-file"):
        ServeSettings("model", host=host)
    assert not is_loopback(ServeSettings("model", host=host, token_file=str(tmp_path / "tokens")).host)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("workers", 0),
        ("max_batch", 0),
        ("max_wait_ms", float("nan")),
        ("timeout", 0.0),
        ("body_timeout", 0.0),
        ("max_explain", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_option(name, value):
    with pytest.raises(UserError, match="--" + name.replace("_", "-")):
        ServeSettings("model", **{name: value})


def test_a_missing_package_is_one_sentence_with_the_extra(monkeypatch):
    load = builtins.__import__

    def without(name, *arguments):
        if name == "uvicorn":
            raise ImportError(name=name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"uvicorn.*serve"):
        check_packages()
