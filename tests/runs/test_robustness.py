from __future__ import annotations

import json

import pytest

from tellapart.errors import DataError, UserError
from tellapart.recipes import with_values
from tellapart.runs.evaluate import evaluate
from tellapart.runs.robustness import robustness
from tellapart.runs.train import train


@pytest.fixture
def model(recipe, tmp_path):
    train(with_values(recipe, ["encoder.name=tfidf"]), tmp_path / "model", quiet=True)
    return tmp_path / "model"


def test_words_of_the_classes_and_protected_ones_stay(model, ticket_file, wordnet, tmp_path):
    result = robustness(
        model, ticket_file, tmp_path / "out", share=0.34, wordnet=wordnet, quiet=True, protect=["nowadays"]
    )
    before = evaluate(model, ticket_file, quiet=True)
    assert result.before == result.metrics_before["accuracy"] == before["accuracy"]
    assert (result.rows, result.changes) == (192, result.changed_rows)
    # "lost" is a class: its name stays in the texts; "today" has only a protected synonym
    assert result.changed_rows == 0
    assert (result.difference, result.flips.p_value) == (0, 1)


def test_swapped_texts_are_what_the_model_is_asked(recipe, tickets, wordnet, tmp_path):
    rows = [{"text": text, "label": f"class {label[0]}"} for text, label in tickets]
    source = tmp_path / "renamed.json"
    source.write_text(json.dumps(rows))
    renamed = with_values(recipe, [f"data.source={source}", "encoder.name=tfidf"])
    train(renamed, tmp_path / "model", quiet=True)
    result = robustness(tmp_path / "model", source, tmp_path / "out", share=0.5, wordnet=wordnet, quiet=True)
    swaps = {"lost": "misplaced", "misplaced": "lost", "today": "nowadays"}
    swappable = [row for row in rows if swaps.keys() & set(row["text"].split())]
    assert result.changed_rows == len(swappable)
    written = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    assert abs(written["changed"]["difference"]) >= abs(written["difference"])
    made = tmp_path / "made.json"
    made.write_text(
        json.dumps([row | {"text": " ".join(swaps.get(w, w) for w in row["text"].split())} for row in rows])
    )
    assert result.metrics_after == {
        key: value for key, value in evaluate(tmp_path / "model", made, quiet=True).items() if key != "rows"
    }
    for row in (*result.became_wrong, *result.became_right):
        assert row.transformed == " ".join(swaps.get(word, word) for word in row.original.split())
    assert "swap-synonyms" in (tmp_path / "out" / "robustness.html").read_text()


def test_both_texts_of_a_pair_are_swapped(recipe, tickets, wordnet, tmp_path):
    rows = [{"sentence1": text, "sentence2": text, "label": label[0]} for text, label in tickets]
    source = tmp_path / "pairs.json"
    source.write_text(json.dumps(rows))
    paired = with_values(recipe, [f"data.source={source}", "encoder.name=tfidf"])
    train(paired, tmp_path / "model", quiet=True)
    result = robustness(tmp_path / "model", source, tmp_path / "out", share=0.2, wordnet=wordnet, quiet=True)
    assert result.changes == 2 * result.changed_rows > 0


def test_what_cannot_work_is_refused_and_nothing_is_lost(model, ticket_file, wordnet, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UserError, match="share"):
        robustness(model, ticket_file, out, share=2, wordnet=wordnet)
    with pytest.raises(DataError, match="WordNet"):
        robustness(model, ticket_file, out, wordnet=tmp_path)
    assert not out.exists()
    robustness(model, ticket_file, out, wordnet=wordnet, quiet=True)
    before = (out / "robustness.json").read_bytes()
    with pytest.raises(UserError, match="not empty"):
        robustness(model, ticket_file, out, wordnet=wordnet)
    with pytest.raises(DataError):
        robustness(model, tmp_path / "no.csv", out, wordnet=wordnet, overwrite=True)
    assert (out / "robustness.json").read_bytes() == before
    robustness(model, ticket_file, out, wordnet=wordnet, overwrite=True, quiet=True)
