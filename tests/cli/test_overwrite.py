"""`--overwrite` never deletes what the command reads."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def folder(trained, ticket_file, tmp_path):
    """A finished run, with rows among its files."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    shutil.copy(ticket_file, run / "suspects.csv")
    return run


@pytest.mark.parametrize(
    "words",
    [
        ("check", "{run}/suspects.csv", "--deep"),
        ("train", "{run}/suspects.csv", "--method", "tfidf"),
        ("train", "{data}", "--recipe", "{run}/recipe.yaml"),
        ("sweep", "{data}", "--recipe", "{run}/recipe.yaml", "--over", "stages.0.epochs=1,2"),
        ("compare", "{data}", "--methods", "tfidf,{run}/recipe.yaml"),
        ("explain", "{run}", "{run}/suspects.csv"),
    ],
)
def test_files_that_a_command_reads_are_kept(tellapart, folder, ticket_file, words):
    before = sorted(path.name for path in folder.iterdir())
    given = [word.format(run=folder, data=ticket_file) for word in words]
    finished = tellapart(*given, "--output", folder, "--overwrite")
    assert finished.code == 2
    assert "lies in the output folder" in finished.err
    assert "which --overwrite would empty: choose another --output" in finished.err
    assert sorted(path.name for path in folder.iterdir()) == before
