from __future__ import annotations

import json

from tellapart.question_answering.runs import evaluate_qa
from tellapart.question_answering.squad import read_squad
from tellapart.reproduction.measures import question_answering as module
from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import table_request
from tellapart.reproduction.run import CellCounts, table_plan


def test_a_model_is_trained_on_the_encoder_of_its_row_and_measured(qa_table, asked, run, figures, tmp_path):
    result = run(qa_table, tmp_path / "out", rows=["further"])
    one = figures(result, "dev", "further", "exact_match")
    folder = tmp_path / "out" / "models" / "further-seed0"
    measured = evaluate_qa(folder, asked[1], quiet=True)
    assert one.scores == {0: measured["exact_match"]}
    assert figures(result, "dev", "further", "f1").scores == {0: measured["f1"]}
    assert measured["exact_match"] > 0.5
    assert (one.paper, figures(result, "dev", "further", "f1").paper) == (75.5, 80.25)
    learnt = json.loads((folder / "metrics.json").read_text())["settings"]
    assert learnt["encoder"] == str(tmp_path / "out" / "pretraining" / "further" / "model")
    assert learnt["learning_rate"] == 0.01
    data = result.columns["dev"].data
    assert data.split_sizes == {"train": len(read_squad(asked[0])), "test": len(read_squad(asked[1]))}
    page = (tmp_path / "out" / "mine.md").read_text()
    assert "| Dev, EM | Dev, F1 |" in page
    assert f"75.5 / {100 * measured['exact_match']:.2f} | 80.25 / {100 * measured['f1']:.2f}" in page


def test_what_is_there_counts_until_a_setting_or_the_pretraining_changes(
    qa_table, run, figures, tmp_path, monkeypatch
):
    qa_table["settings"] |= {"epochs": 0.2}
    first = run(qa_table, tmp_path / "out")
    trained, real = [], module.train_qa
    monkeypatch.setattr(module, "train_qa", lambda *a, **k: trained.append(a[1].name) or real(*a, **k))
    again = run(qa_table, tmp_path / "out", resume=True)
    assert again.columns == first.columns
    # The model is there though the trial is not.
    (tmp_path / "out" / "dev" / "trials" / "plain-seed0.json").unlink()
    run(qa_table, tmp_path / "out", resume=True)
    assert trained == []
    run(qa_table, tmp_path / "out", resume=True, settings=["pretraining.steps=3"])
    assert trained == ["further-seed0"]
    run(qa_table, tmp_path / "out", resume=True, rows=["plain"], settings=["batch_size=8"])
    assert trained == ["further-seed0", "plain-seed0"]


def test_a_cell_that_fails_is_kept_and_the_rest_still_runs(qa_table, run, figures, tmp_path, monkeypatch):
    qa_table["settings"] |= {"epochs": 0.2}
    qa_table["rows"]["broken"] = {"name": "Broken", "settings": {"max_length": 500}}
    result = run(qa_table, tmp_path / "out", rows=["broken", "plain"])
    assert "reads at most 64" in figures(result, "dev", "broken", "f1").missing[0]
    assert figures(result, "dev", "plain", "f1").scores
    kept = json.loads((tmp_path / "out" / "dev" / "trials" / "broken-seed0.failed.json").read_text())
    assert "reads at most 64" in kept["error"]
    mended = run(qa_table, tmp_path / "out", rows=["broken"], settings=["max_length=32"], resume=True)
    assert figures(mended, "dev", "broken", "f1").scores
    assert not list((tmp_path / "out").rglob("*.failed.json"))


def test_questions_are_not_both_learnt_from_and_measured_on(qa_table, asked, run, figures, tmp_path):
    del qa_table["settings"]["train"]
    result = run(qa_table, tmp_path / "out")
    assert "both trained and evaluated on" in figures(result, "dev", "plain", "f1").missing[0]
    mended = run(
        qa_table,
        tmp_path / "out",
        rows=["plain"],
        resume=True,
        settings=[f"train={asked[0]}", "epochs=0.2"],
    )
    assert figures(mended, "dev", "plain", "f1").scores


def test_questions_about_texts_that_were_trained_on_are_counted(qa_table, asked, run, tmp_path):
    content = json.loads(asked[0].read_text())
    paragraph = json.loads(asked[1].read_text())["data"][0]["paragraphs"][0]
    paragraph["qas"][0]["id"] = "another"
    content["data"][0]["paragraphs"].append(paragraph)
    (tmp_path / "train.json").write_text(json.dumps(content))
    qa_table["settings"] |= {"train": str(tmp_path / "train.json")}
    result = run(qa_table, tmp_path / "out", budget=0)
    assert result.columns["dev"].data.known_overlap == 1
    assert result.columns["dev"].data.note.startswith("1 of the questions")


def test_a_metric_of_classifiers_is_none_of_answers(qa_table, run, figures, tmp_path):
    qa_table["columns"]["dev"]["metrics"] = {"accuracy": "EM"}
    qa_table["figures"] = {}
    result = run(qa_table, tmp_path / "out")
    assert 'no metric "accuracy"' in figures(result, "dev", "plain", "accuracy").missing[0]


def test_overwriting_removes_the_models_of_the_table_and_no_others(qa_table, run, tmp_path):
    qa_table["settings"] |= {"epochs": 0.2}
    run(qa_table, tmp_path / "out")
    other = tmp_path / "out" / "models" / "another-seed0"
    other.mkdir()
    run(qa_table, tmp_path / "out", rows=["plain"], overwrite=True)
    found = {path.name for path in (tmp_path / "out" / "models").iterdir() if path.is_dir()}
    assert found == {"plain-seed0", "another-seed0"}


def test_a_plan_counts_what_is_there(qa_table, tmp_path, run):
    qa_table["settings"] |= {"epochs": 0.2}
    run(qa_table, tmp_path / "out", rows=["plain"])

    def planned(**options):
        request = table_request("mine", Protocol.model_validate(qa_table), **options)
        return table_plan(request, tmp_path / "out").columns["dev"]

    assert planned() == CellCounts(cells=2, finished=1, left=1)
    assert planned(settings=["batch_size=4"]).finished == 0
