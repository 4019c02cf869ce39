from __future__ import annotations

import json

import pytest

from tellapart.question_answering.attacks import attacked_examples
from tellapart.question_answering.metrics import qa_metrics
from tellapart.question_answering.runs import predict_qa
from tellapart.question_answering.squad import read_squad
from tellapart.reproduction.measures import question_answering as module
from tellapart.wordnet.reader import WordNet

METRICS = {
    "exact_match_before": "EM",
    "exact_match_after": "EM after",
    "exact_match_lost": "EM lost",
    "f1_before": "F1",
    "f1_after": "F1 after",
    "f1_lost": "F1 lost",
    "changed_questions": "changed",
}


@pytest.fixture
def table(qa_table, wordnet, asked):
    """The models of a table of answers under both attacks."""
    column = {"source": str(asked[1]), "metrics": METRICS}
    return qa_table | {
        "title": "Attacks",
        "measures": "robustness",
        "settings": qa_table["settings"] | {"wordnet": str(wordnet), "share": 0.34, "epochs": 2},
        "columns": {
            "add": {"name": "Add", "settings": {"attack": "add-sentence"}, **column},
            "swap": {"name": "Swap", **column},
        },
        "rows": {"plain": {"name": "Plain"}},
        "figures": {"plain": {"add": [80.5, 25.5, 55, 85, 26, 59, None]}},
    }


def _written(path, examples):
    questions = [
        {
            "context": one.context,
            "qas": [
                {
                    "id": one.id,
                    "question": one.question,
                    "answers": [{"text": gold.text, "answer_start": gold.start} for gold in one.answers],
                }
            ],
        }
        for one in examples
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": questions}]}))
    return path


@pytest.mark.parametrize(("column", "attack"), [("add", "add-sentence"), ("swap", "swap-synonyms")])
def test_the_same_changed_questions_are_asked_before_and_after(
    table, wordnet, asked, run, figures, tmp_path, column, attack
):
    result = run(table, tmp_path / "out", columns=[column])
    questions = read_squad(asked[1])
    made = attacked_examples(questions, attack, WordNet(wordnet), share=0.34)
    changed = [number for number, count in enumerate(made.changes) if count]
    assert 0 < len(changed) < len(questions) or attack == "add-sentence"
    expected = {"changed_questions": len(changed) / len(questions)}
    for name, rows in (("before", questions), ("after", made.examples)):
        rows = [rows[number] for number in changed]
        file = _written(tmp_path / f"{name}.json", rows)
        answers = predict_qa(
            tmp_path / "out" / "models" / "plain-seed0", file, tmp_path / "p.json", quiet=True
        )
        metrics = qa_metrics(rows, answers)
        expected |= {f"{metric}_{name}": metrics[metric] for metric in ("exact_match", "f1")}
    for metric in ("exact_match", "f1"):
        expected[f"{metric}_lost"] = expected[f"{metric}_before"] - expected[f"{metric}_after"]
    assert {metric: figures(result, column, "plain", metric).scores[0] for metric in METRICS} == expected
    assert "changed questions (%)" in (tmp_path / "out" / "mine.md").read_text()


def test_columns_and_tables_of_one_folder_share_a_model(table, qa_table, run, tmp_path, monkeypatch):
    trained, real = [], module.train_qa
    monkeypatch.setattr(module, "train_qa", lambda *a, **k: trained.append(a[1].name) or real(*a, **k))
    for one in (qa_table, table):
        one["settings"] |= {"epochs": 0.2}
    run(qa_table, tmp_path / "out", "answers", rows=["plain"])
    run(table, tmp_path / "out", "attacks", resume=True)
    assert trained == ["plain-seed0"]
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {"answers", "attacks"}


def test_an_attack_that_changes_nothing_fails_before_anything_is_trained(
    table, run, figures, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "train_qa", lambda *_, **__: pytest.fail("too early"))
    result = run(table, tmp_path / "out", columns=["swap"], settings=["share=0.01"])
    assert "changes none of the 36 questions" in figures(result, "swap", "plain", "f1_lost").missing[0]
    result = run(table, tmp_path / "other", columns=["swap"], settings=[f"wordnet={tmp_path}"])
    assert "WordNet" in figures(result, "swap", "plain", "f1_lost").missing[0]
