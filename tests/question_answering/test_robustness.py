from __future__ import annotations

import json

import pytest

from tellapart.errors import ModelError, RecipeError
from tellapart.question_answering.robustness import qa_robustness
from tellapart.question_answering.runs import evaluate_qa, is_qa_model
from tellapart.question_answering.squad import read_squad
from tellapart.recipes import with_values
from tellapart.runs.train import train


@pytest.fixture
def model(recipe, tmp_path):
    train(with_values(recipe, ["encoder.name=tfidf"]), tmp_path / "model", quiet=True)
    return tmp_path / "model"


def test_added_sentences_reach_the_model_and_leave_the_answers_where_they_are(
    span_run, wordnet, squad_file, tmp_path
):
    content = json.loads(squad_file.read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        paragraph["qas"][0]["question"] = "what was lost 3 times?"
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps(content))
    folder = span_run[0]
    result = qa_robustness(
        folder, asked, tmp_path / "out", attack="add-sentence", wordnet=wordnet, quiet=True
    )
    answered = [example for example in read_squad(asked) if example.answers]
    assert 0 < result.changed_rows <= len(answered)
    assert result.metric == "exact_match"
    assert result.metrics_before.keys() == result.metrics_after.keys()
    assert result.metrics_after["missing"] == 0
    assert result.metrics_before["unanswerable_f1"] == result.metrics_after["unanswerable_f1"]
    for row in result.became_wrong:
        assert row.gold in row.transformed
        assert len(row.transformed) > len(row.original)
        assert row.before == row.gold
    same = qa_robustness(
        folder, asked, tmp_path / "again", attack="add-sentence", wordnet=wordnet, quiet=True
    )
    assert same == result


def test_synonyms_are_swapped_for_models_that_answer_questions_too(span_run, wordnet, squad_file, tmp_path):
    folder, out = span_run[0], tmp_path / "out"
    given = {"share": 0.5, "wordnet": wordnet, "quiet": True}
    result = qa_robustness(folder, squad_file, out, protect=["Misplaced"], **given)
    # "today" is the answer where it occurs, "misplaced" is protected: nothing is left to swap
    assert (result.changed_rows, result.difference) == (0, 0)
    assert result.settings == {"share": 0.5, "protected": ["Misplaced"], "seed": 0}
    result = qa_robustness(folder, squad_file, out, overwrite=True, **given)
    swaps = {"lost": "misplaced", "misplaced": "lost"}
    examples = read_squad(squad_file)
    swappable = [one for one in examples if swaps.keys() & set(one.context.split())]
    also = [one for one in examples if one.context.endswith("today") and not one.answers]
    assert result.changed_rows == len(swappable) + len(also) > 0
    assert (result.attack, result.metric, result.rows) == ("swap-synonyms", "exact_match", 192)
    assert result.metrics_before == evaluate_qa(folder, squad_file, quiet=True)
    for row in (*result.became_wrong, *result.became_right):
        question, original = row.original.split(" ⏎ ")
        assert row.transformed == f"{question} ⏎ " + " ".join(swaps.get(w, w) for w in original.split())


def test_an_attack_on_questions_needs_a_model_that_answers_them(model, squad_file, wordnet, tmp_path):
    with pytest.raises(ModelError):
        qa_robustness(model, squad_file, tmp_path / "out", attack="add-sentence", wordnet=wordnet)
    assert not (tmp_path / "out").exists()


def test_an_unknown_attack_is_refused_with_the_closest_one(span_run, squad_file, wordnet, tmp_path):
    with pytest.raises(RecipeError, match='no attack "swap-synonym" \\(did you mean "swap-synonyms"'):
        qa_robustness(span_run[0], squad_file, tmp_path / "out", attack="swap-synonym", wordnet=wordnet)


def test_only_models_that_answer_questions_are_told_as_such(span_run, model, tmp_path):
    assert is_qa_model(span_run[0])
    assert not is_qa_model(model)
    assert not is_qa_model(tmp_path)
