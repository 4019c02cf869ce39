from __future__ import annotations

import pickle

import pytest

from tellapart.errors import DataError, MissingDependencyError, OutputError, TellapartError


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
