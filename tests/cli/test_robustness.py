from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def wordnet(tiny_wordnet, tmp_path_factory):
    folder = shutil.copytree(tiny_wordnet, tmp_path_factory.mktemp("met") / "dict")
    (folder / "cntlist.rev").write_text("today%4:02:00:: 1 20\nnowadays%4:02:00:: 1 2\n")
    return folder


def test_robustness_shows_before_and_after_and_where_the_page_is(
    tellapart, trained, ticket_file, wordnet, tmp_path
):
    options = ("--wordnet", wordnet, "--share", 0.25, "--quiet")
    finished = tellapart("robustness", trained, ticket_file, *options, "--output", tmp_path / "out")
    assert finished.code == 0
    assert "of 192 rows are training or validation rows of the run" in finished.err
    assert "95 % interval" in finished.out
    assert "correct answers became wrong" in finished.out
    assert f"written to {tmp_path / 'out'}" in finished.out
    again = tellapart(
        *("robustness", trained, ticket_file, *options, "--json", "--overwrite", "--output", tmp_path / "out")
    )
    content = json.loads(again.out)
    assert content == json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert content["rows"] == 192
    assert content["changed_rows"] == 48
    protected = tellapart(
        *("robustness", trained, ticket_file, *options, "--json", "--protect", "today"),
        *("--output", tmp_path / "protected"),
    )
    assert json.loads(protected.out)["changed_rows"] == 0


def test_a_mistake_is_one_line(tellapart, trained, ticket_file, tmp_path):
    finished = tellapart("robustness", trained, ticket_file, "--wordnet", tmp_path)
    assert finished.code == 2
    note, error = finished.err.splitlines()
    assert note.startswith("note: Columns: ")
    assert error.startswith("error: ")
    assert "WordNet" in error
