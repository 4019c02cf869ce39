from __future__ import annotations

import builtins

import pytest

from tellapart.errors import MissingDependencyError, UserError
from tellapart.serving.settings import ServeSettings, check_packages, read_tokens

TOKEN = "a-token-of-24-characters"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_hosts_of_this_machine_need_no_token(host):
    assert ServeSettings("model", host=host).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_hosts_are_refused_without_a_token_file(host, tmp_path):
    with pytest.raises(UserError, match="--token-file"):
        ServeSettings("model", host=host)
    assert not ServeSettings("model", host=host, token_file=str(tmp_path / "tokens")).loopback


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


def test_tokens_are_the_lines_of_the_file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n\n  {TOKEN}-2 \n")
    assert read_tokens(file) == (TOKEN.encode(), f"{TOKEN}-2".encode())


@pytest.mark.parametrize("content", [b"", b"\n", b"short\n", b"two words that are long", b"\xff" * 20])
def test_a_file_without_a_usable_token_is_refused_and_not_quoted(content, tmp_path):
    file = tmp_path / "tokens"
    file.write_bytes(content)
    with pytest.raises(UserError, match="token") as refused:
        read_tokens(file)
    assert "short" not in str(refused.value)
    assert "two words" not in str(refused.value)


def test_a_missing_token_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_a_missing_package_is_one_sentence_with_the_extra(monkeypatch):
    load = builtins.__import__

    def without(name, *arguments):
        if name == "uvicorn":
            raise ImportError(name=name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"uvicorn.*serve"):
        check_packages()
