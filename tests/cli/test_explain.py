from __future__ import annotations

import json

import pytest

TEXT = "my card was stolen by a thief"

pytest.importorskip("captum")


def test_a_text_is_explained_as_a_table_that_fits_80_columns(tellapart, trained):
    finished = tellapart("explain", trained, TEXT)
    assert finished.code == 0
    assert finished.err == ""
    lines = finished.out.splitlines()
    assert lines[0] == TEXT
    assert 'logit of "stolen" minus that of' in lines[1]
    table = lines[2:-1]
    assert max(map(len, map(str.rstrip, table))) <= 80
    assert [word for line in table for word in line.split()[:1] if word in TEXT.split()] == TEXT.split()
    assert "+" * 20 in finished.out
    assert lines[-1] == "Effects by integrated gradients of the token embeddings."


def test_json_has_the_effects_against_the_class_that_is_named(tellapart, trained, tmp_path):
    page = tmp_path / "words.html"
    finished = tellapart("explain", trained, TEXT, "--against", "expired", "--output", page, "--json")
    (one,) = json.loads(finished.out)["texts"]
    assert (one["label"], one["against"], one["attribution"]) == ("stolen", "expired", "gradients")
    assert sum(one["effects"]) == pytest.approx(one["output"] - one["baseline"], rel=0.05)
    assert "<mark" in page.read_text()
    checked = tellapart("explain", trained, TEXT, "--attribution", "occlusion", "--json")
    assert json.loads(checked.out)["texts"][0]["words"] == one["words"]


def test_the_first_rows_of_a_file_are_explained_and_that_is_said(tellapart, trained, ticket_file, tmp_path):
    options = ("--max-rows", 7, "--attribution", "occlusion", "--quiet", "--output", tmp_path / "words")
    finished = tellapart("explain", trained, ticket_file, *options)
    assert finished.code == 0
    assert f"note: the first 7 of 192 rows of {ticket_file} are explained; --max-rows" in finished.err
    assert "2 more texts" in finished.out
    assert (tmp_path / "words" / "word-effects.html").read_text().count("<blockquote") == 7


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((TEXT, "--against", "stole"), 'no class "stole" (did you mean "stolen"?)'),
        ((TEXT, "--against", "stolen"), 'predicted as "stolen"'),
        (("",), "has no word"),
        ((TEXT, "--attribution", "coefficients"), "only a tfidf model"),
        (("nothing.csv",), "there is no file nothing.csv"),
    ],
)
def test_a_mistake_is_one_line(tellapart, trained, arguments, sentence):
    finished = tellapart("explain", trained, *arguments)
    assert finished.code == 2
    assert sentence in finished.err
    assert len(finished.err.splitlines()) == 1
