from __future__ import annotations

import json

import pytest

from tellapart.pretraining.synonyms import SynonymTable


@pytest.fixture
def table(tellapart, tiny_encoder, tiny_wordnet, tmp_path):
    """A table for the encoder of the tickets, whose words include lost, missing, stolen, taken and robbed."""
    file = tmp_path / "tables" / "tickets.safetensors"
    done = tellapart(
        "synonyms", "build", "--encoder", tiny_encoder, "--wordnet", tiny_wordnet, "--output", file
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == f"WordNet 9.1: 8 pairs, written to {file}\n"
    return file


def test_a_built_table_shows_the_synonyms_of_words(tellapart, tiny_encoder, table):
    shown = tellapart("synonyms", "inspect", table, "Missing", "lost", "in", "--encoder", tiny_encoder)
    assert shown.code == 0
    assert shown.out.splitlines() == [
        "Missing",
        "  synonyms:   lost",
        "  synonym of: lost",
        "lost",
        "  synonyms:   missing",
        "  synonym of: missing",
        "in",
        "  synonyms:   –",
        "  synonym of: –",
    ]
    as_json = tellapart("synonyms", "inspect", table, "lost", "--encoder", tiny_encoder, "--json")
    assert json.loads(as_json.out) == [{"word": "lost", "synonyms": ["missing"], "synonym_of": ["missing"]}]


def test_options_of_the_build_are_kept_with_the_table(tellapart, tiny_encoder, tiny_wordnet, tmp_path):
    file = tmp_path / "table"
    options = ("--keep-stop-words", "--symmetric", "--json", "--output", file)
    done = tellapart("synonyms", "build", "--encoder", tiny_encoder, "--wordnet", tiny_wordnet, *options)
    summary = json.loads(done.out)
    assert (summary["file"], summary["source"], summary["stop_words"]) == (str(file), "WordNet 9.1", 0)
    assert SynonymTable.load(file).options == {"stop_words": False, "symmetric": True}


def test_a_table_from_word_vectors(tellapart, tiny_encoder, tmp_path):
    pytest.importorskip("gensim")
    (tmp_path / "glove.txt").write_text("lost 1 0\nmissing 1 0.1\nstolen 0 1\ntaken 0.1 1\n")
    source = ("--source", "vectors", "--vectors", tmp_path / "glove.txt", "--neighbours", "1")
    output = ("--output", tmp_path / "table")
    done = tellapart("synonyms", "build", "--encoder", tiny_encoder, *source, *output)
    assert done.out.startswith("vectors glove.txt: 4 pairs")


@pytest.mark.parametrize("source", [("--source", "vectors"), ("--vectors", "glove.txt")])
def test_vectors_and_their_source_come_together(tellapart, tiny_encoder, tmp_path, source):
    done = tellapart("synonyms", "build", "--encoder", tiny_encoder, *source, "--output", tmp_path / "table")
    assert (done.code, "give --source vectors --vectors FILE" in done.err) == (2, True)
    assert not list(tmp_path.iterdir())


def test_counts_of_the_table_that_comes_along(tellapart):
    shown = tellapart("synonyms", "stats")
    assert shown.code == 0
    for number in ("30,372", "18,987", "62.51%", "13,359", "43.98%"):
        assert number in shown.out


def test_counts_of_a_file_as_json(tellapart, table):
    counts = json.loads(tellapart("synonyms", "stats", table, "--json").out)
    assert (counts["source"], counts["pairs"], counts["with_synonyms"]) == ("WordNet 9.1", 8, 5)


def test_a_table_of_another_encoder_is_refused(tellapart, table):
    done = tellapart("synonyms", "inspect", table, "lost")
    assert (done.code, "but the encoder's has 30,522" in done.err) == (2, True)


def test_a_missing_wordnet_or_table_is_an_error_in_one_line(tellapart, tiny_encoder, tmp_path):
    build = (
        "synonyms",
        "build",
        "--encoder",
        tiny_encoder,
        "--wordnet",
        tmp_path,
        "--output",
        tmp_path / "table",
    )
    for arguments in (build, ("synonyms", "stats", tmp_path / "table")):
        done = tellapart(*arguments)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not list(tmp_path.iterdir())
