from __future__ import annotations

import contextlib

import pytest

from tellapart.listening import bound_socket
from tellapart.playground import server, settings


@pytest.fixture
def installed(monkeypatch):
    """Mistakes are told before Gradio is imported, so that it need not be installed."""
    monkeypatch.setattr(server, "check_packages", lambda: None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("no-such-folder/model", "--port", "0"), "no-such-folder"),
        (("{run}", "--host", "0.0.0.0"), "--token-file"),
        (("{run}", "--port", "70000"), "--port"),
        (("{run}", "--host", "0.0.0.0", "--token-file", "no-such-file"), "no-such-file"),
        (("{run}", "--port", "0", "--data", "nothing.csv"), "nothing.csv"),
        (("{run}", "no-such-folder/model", "--port", "0"), "no-such-folder"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_cannot_be_shown_is_one_sentence(tellapart, trained, options, words):
    finished = tellapart("playground", *(option.format(run=trained) for option in options))
    assert (finished.code, finished.out) == (2, "")
    (line,) = finished.err.splitlines()
    assert words in line


@pytest.mark.usefixtures("installed")
def test_a_port_in_use_is_one_sentence(tellapart, trained):
    with contextlib.closing(bound_socket("127.0.0.1", 0)) as used:
        used.listen()
        finished = tellapart("playground", trained, "--port", used.getsockname()[1])
    assert finished.code == 2
    (line,) = finished.err.splitlines()
    assert "cannot listen" in line


def test_a_missing_package_is_one_sentence_with_the_extra(tellapart, trained, monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda package: None)
    finished = tellapart("playground", trained)
    assert finished.code == 2
    assert "pip install 'tellapart[demo]'" in finished.err
