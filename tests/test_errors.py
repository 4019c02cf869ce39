from __future__ import annotations

import pickle

import pytest

from tellapart.errors import DataError, MissingDependencyError, OutputError, TellapartError, visible


@pytest.mark.parametrize(
    "error",
    [
        TellapartError("the cause", "the remedy"),
        DataError("a file is damaged", "repair it"),
        OutputError("a disk is full", "empty it"),
        MissingDependencyError("faiss", "audit", "the audit of many texts"),
    ],
)
def test_errors_of_other_processes_arrive_as_they_were(error):
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is type(error)
    assert (str(sent), sent.cause, sent.remedy) == (str(error), error.cause, error.remedy)


def test_control_characters_are_visible_and_others_stay():
    assert visible("a\x1b[2J\rb\x9b1m\x7f\0") == "a\\x1b[2J\\x0db\\x9b1m\\x7f\\x00"
    for text in ("", "a\n\tb", "größe → 被 🙂", "\\x1b"):
        assert visible(text) == text
