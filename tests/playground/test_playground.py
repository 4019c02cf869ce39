from __future__ import annotations

import json

import pytest

from tellapart.data.reading.columns import ColumnNames
from tellapart.errors import UserError
from tellapart.fitting.fitted import Fitted
from tellapart.playground import playground as module
from tellapart.playground.examples import wrong_examples
from tellapart.playground.page import percent
from tellapart.playground.playground import load_playground
from tellapart.playground.settings import PlaygroundSettings

HOSTILE = "a thief </p><script>document.title = 'broken'</script> took it & <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def both(run, checkpoint):
    return load_playground(PlaygroundSettings((str(run), str(checkpoint)), max_text_characters=200))


def test_two_models_answer_side_by_side_and_say_why(both):
    html = both.answer(HOSTILE)
    assert html.count('class="tp-card"') == 2
    assert "its threshold of" in html
    assert "trained without abstention" in html
    first, last = both.reasons(HOSTILE)
    assert "are computed, once" in first
    assert last.count("Words that decide in") == 2
    assert "&lt;" in last
    assert last.count('class="tp-near"') == 1  # the checkpoint has no training texts, and says so
    assert "is no run folder" in last
    for found in (html, first, last):
        assert "<script" not in found
        assert "<img" not in found


def test_what_cannot_be_answered_is_a_sentence(both):
    assert both.answer("  ") == ""
    assert list(both.reasons("")) == [""]
    assert "the text has 201 characters, and 200 are the maximum" in both.answer("x" * 201).lower()
    assert "surrogate" in both.answer("\ud800")
    assert "surrogate" in next(both.reasons("\ud800"))


def test_an_unknown_failure_is_logged_by_its_place_without_the_text(both, monkeypatch, caplog):
    def fails(scorer, split):
        raise RuntimeError(split.texts[0])

    monkeypatch.setattr(Fitted, "scores", fails)
    assert "secret" not in both.answer("a secret text")
    assert "RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


def test_models_of_the_same_training_share_its_vectors(run):
    twice = load_playground(PlaygroundSettings((str(run), str(run / "model"))))
    assert twice.trained[0] is twice.trained[1]
    assert list(twice.reasons("my card"))[-1].count('class="tp-near"') == 1


def test_pairs_are_read_as_the_models_were_trained(run, checkpoint, fitted, tmp_path):
    one = fitted()
    one.columns = ColumnNames("text", "other", "label")
    one.save(tmp_path / "pairs")
    pairs = load_playground(PlaygroundSettings((str(tmp_path / "pairs"),)))
    assert pairs.pairs
    assert "tp-bars" in pairs.answer("my card", "was lost")
    with pytest.raises(UserError, match="was trained on pairs of texts"):
        load_playground(PlaygroundSettings((str(tmp_path / "pairs"), str(checkpoint))))


def test_examples_are_wrong_predictions_of_different_confusions_first(both, tmp_path):
    assert 0 < len(both.examples()) <= 4
    errors = [
        {"text": text, "gold": [gold], "answers": [{"predicted": [predicted]}]}
        for text, gold, predicted in (
            ("1", "a", "b"),
            ("2", "a", "b"),
            ("3", "b", "a"),
            ("x" * 999, "b", "c"),
        )
    ]
    file = tmp_path / "errors.json"
    file.write_text(json.dumps({"errors": errors}))
    assert [one.text for one in wrong_examples(file, pairs=False)] == ["1", "3", "2"]
    assert wrong_examples(file, pairs=True) == []
    file.write_text('{"errors": [{"text": 1}]}')
    assert wrong_examples(file, pairs=False) == []


def test_the_heading_says_where_texts_go(both):
    assert "stay on this machine" in both.heading


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0.0 %"), (1e-5, "< 0.1 %"), (0.5, "50.0 %"), (0.99999, "> 99.9 %"), (1, "100.0 %")],
)
def test_no_probability_is_rounded_to_certainty(share, shown):
    assert percent(share) == shown


def test_other_hosts_need_a_token_file():
    with pytest.raises(UserError, match="--token-file"):
        PlaygroundSettings(("model",), host="0.0.0.0")
    with pytest.raises(UserError, match="--top"):
        PlaygroundSettings(("model",), top=0)
    assert module.PlaygroundSettings(("model",), host="::1")
