from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tellapart.data.examples import TextSplit
from tellapart.errors import OutputError, RecipeError, UserError
from tellapart.evaluation.metrics import classification_metrics
from tellapart.fitting.fit import fit
from tellapart.fitting.folder import claim_folder, write_run
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import load_data
from tellapart.recipes import load_recipe, method_recipe, with_values
from tellapart.runs.compare import compare
from tellapart.runs.evaluate import evaluate
from tellapart.runs.train import train


def test_the_metrics_are_those_of_the_model_that_was_saved(recipe, tmp_path):
    result = train(recipe, tmp_path / "run", quiet=True)
    table = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pydict()
    data = load_data(recipe)
    assert table["text"] == data.test.texts
    again = load_fitted(tmp_path / "run")
    logits = again.scores(data.test)
    metrics = classification_metrics(again.labels, again.labels.encode(data.test.labels), logits)
    assert metrics == pytest.approx(result.metrics["test"], abs=1e-6)
    accuracy = np.mean([a == b for a, b in zip(table["label"], table["predicted_label"], strict=True)])
    assert accuracy == pytest.approx(metrics["accuracy"])
    measured = evaluate(tmp_path / "run", (data.test.texts, data.test.labels))
    assert measured == {"rows": len(data.test), **metrics}


def test_test_rows_that_are_also_in_train_are_noted_and_left_out_once(recipe, tickets, tmp_path):
    labelled = [{"text": text, "label": label} for text, label in tickets]
    source = tmp_path / "leaky"
    source.mkdir()
    for name, rows in {"train": labelled[:150:3], "test": labelled[:30]}.items():
        (source / f"{name}.json").write_text(json.dumps(rows + labelled[-60::3]))
    leaky = with_values(recipe, [f"data.source={source}", "encoder.name=tfidf"])
    result = train(leaky, tmp_path / "run", quiet=True)
    data = load_data(leaky)
    known = {text.casefold() for text in data.train.texts}
    unseen = [row for row, text in enumerate(data.test.texts) if text.casefold() not in known]
    assert 0 < len(unseen) < len(data.test)
    assert result.metrics["test_unseen"]["rows"] == len(unseen)
    fitted = load_fitted(tmp_path / "run")
    rows = data.test.select(unseen)
    expected = classification_metrics(fitted.labels, fitted.labels.encode(rows.labels), fitted.scores(rows))
    assert {"rows": len(unseen), **expected} == pytest.approx(result.metrics["test_unseen"])
    (note,) = [note for note in result.notes if "also in train" in note]
    assert f"on the other {len(unseen)}, accuracy" in note
    assert note in (tmp_path / "run" / "report.html").read_text()


def test_without_shared_texts_there_is_no_word_of_them(recipe, tmp_path):
    result = train(with_values(recipe, ["encoder.name=tfidf"]), tmp_path / "run", quiet=True)
    assert "test_unseen" not in result.metrics
    assert not any("also in train" in note for note in result.notes)


def test_rows_that_were_cut_are_said_and_counted(recipe, tmp_path):
    short = with_values(recipe, ["encoder.max_length=6", "stages.0.epochs=1"])
    result = train(short, tmp_path / "run", quiet=True)
    fitted, data = load_fitted(tmp_path / "run"), load_data(short)

    def share(split: TextSplit) -> float:
        return float(np.mean([len(ids) > 6 for ids in fitted.tokenizer(split.texts)["input_ids"]]))

    assert 0 < share(data.test) < 1
    splits = {name: share(split) for name, split in data.splits.items()}
    assert result.metrics["cut"] == pytest.approx({"max_length": 6, **splits})
    assert any("are longer than 6 tokens and were cut" in note for note in result.notes)
    whole = train(with_values(recipe, ["stages.0.epochs=1"]), tmp_path / "whole", quiet=True)
    assert set(whole.metrics["cut"].values()) == {24, 0.0}
    assert not any("were cut" in note for note in whole.notes)


def test_the_resolved_recipe_gives_the_same_model_again(recipe, tmp_path):
    train(recipe, tmp_path / "first", quiet=True)
    resolved = load_recipe(tmp_path / "first" / "recipe.yaml")
    assert None not in (resolved.stages[0].learning_rate, resolved.stages[0].head_learning_rate)
    train(resolved, tmp_path / "second", quiet=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_the_best_evaluation_is_kept_and_patience_stops(recipe, tmp_path):
    patient = with_values(recipe, ["stages.0.epochs=40", "stages.0.evaluations=40", "stages.0.patience=2"])
    data = load_data(patient)
    fitted = fit(patient, data, tmp_path, quiet=True)
    scores = [entry["eval_accuracy"] for entry in fitted.history if "eval_accuracy" in entry]
    assert len(scores) < 40
    gold = fitted.labels.encode(data.validation.labels)
    kept = classification_metrics(fitted.labels, gold, fitted.scores(data.validation))["accuracy"]
    assert kept == pytest.approx(max(scores))


def test_the_probe_starts_better_than_chance_and_random_does_not_use_it(recipe, tmp_path):
    short = with_values(recipe, ["stages.0.trainer.max_steps=1", "stages.0.learning_rate=1e-9"])
    data = load_data(short)

    def accuracy(start: str) -> float:
        fitted = fit(with_values(short, [f"stages.0.start={start}"]), data, tmp_path / start, quiet=True)
        return float((fitted.scores(data.train).argmax(1) == fitted.labels.encode(data.train.labels)).mean())

    assert accuracy("probe") > 0.8
    assert accuracy("random") < 0.7


def test_frozen_leaves_the_encoder_as_it_was(recipe, tiny_encoder, tmp_path):
    from transformers import AutoModel

    fitted = fit(method_recipe("frozen", recipe), load_data(recipe), tmp_path, quiet=True)
    before = AutoModel.from_pretrained(tiny_encoder).state_dict()
    after = fitted.model.base_model.state_dict()
    shared = [name for name in after if not name.startswith("pooler.")]
    assert shared
    assert all((before[name] == after[name]).all() for name in shared)


def test_a_model_is_never_saved_over_other_files(recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fitted = fit(method_recipe("tfidf", recipe), load_data(recipe), tmp_path / "scratch", quiet=True)
    with pytest.raises(UserError, match="no model"):
        fitted.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overwriting_deletes_only_what_a_run_wrote(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.json").touch()
    with pytest.raises(UserError, match="--overwrite"):
        claim_folder(folder, resume=False, overwrite=False)
    claim_folder(folder, resume=False, overwrite=True)
    assert not folder.exists()
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not written by a run"):
        claim_folder(folder, resume=False, overwrite=True)
    assert (folder / "thesis.tex").exists()
    with pytest.raises(UserError, match="is a file"):
        claim_folder(folder / "thesis.tex", resume=False, overwrite=True)


def test_a_finished_run_is_not_run_again(recipe, tmp_path):
    recipe = method_recipe("tfidf", recipe)
    train(recipe, tmp_path / "run", quiet=True)
    file = tmp_path / "run" / "metrics.json"
    content = json.loads(file.read_text()) | {"mark": 1}
    file.write_text(json.dumps(content))
    assert train(recipe, tmp_path / "run", resume=True, quiet=True).metrics == content
    written = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert train(written, tmp_path / "run", resume=True, quiet=True).metrics == content


@pytest.fixture
def finished(recipe, tickets, tmp_path):
    """A finished run, its recipe, and the file of its rows, which may be written anew."""
    file = tmp_path / "rows.csv"

    def write(rows: list[tuple[str, str]]) -> None:
        file.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))

    write(tickets)
    recipe = with_values(method_recipe("tfidf", recipe), [f"data.source={file}"])
    train(recipe, tmp_path / "run", quiet=True)
    return recipe, file, write


def test_a_run_is_not_resumed_with_other_labels_or_texts(finished, tickets, tmp_path):
    recipe, file, write = finished
    swap = {"lost": "stolen", "stolen": "lost"}
    write([(text, swap.get(label, label)) for text, label in tickets])
    with pytest.raises(RecipeError, match=r"run was begun with other labels of train: repeat its command"):
        train(recipe, tmp_path / "run", resume=True, quiet=True)
    write([(text + " now", label) for text, label in tickets])
    with pytest.raises(RecipeError, match="other texts of train"):
        train(recipe, tmp_path / "run", resume=True, quiet=True)
    write(tickets)  # the same rows in another file are the same rows
    moved = with_values(recipe, [f"data.source={file.rename(tmp_path / 'moved.csv')}"])
    train(moved, tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stages.0.epochs=9", r"stages.0.epochs: 6.0 \(now 9.0\)"),
        ("seed=1", r"seed: the default \(now 1\)"),
        ("data.few_shot=4", "data.few_shot"),
        ("stages.0.objective.name=supcon", "stages.0.objective.name: cross-entropy"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(finished, tmp_path, setting, message):
    with pytest.raises(RecipeError, match=message):
        train(with_values(finished[0], [setting]), tmp_path / "run", resume=True, quiet=True)


def test_a_run_is_not_resumed_with_other_code_or_by_another_command(finished, tmp_path, monkeypatch):
    recipe, *_ = finished
    with pytest.raises(RecipeError, match=r"by another command \(train, now compare\)"):
        compare(recipe, ["tfidf"], tmp_path / "run", resume=True, quiet=True)
    file = tmp_path / "run" / "fingerprint.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"code": 0}))
    with pytest.raises(RecipeError, match="which computes other results"):
        train(recipe, tmp_path / "run", resume=True, quiet=True)
    file.write_text("[]")
    with pytest.raises(UserError, match=r"fingerprint.json is damaged"):
        train(recipe, tmp_path / "run", resume=True, quiet=True)


def test_a_folder_that_cannot_be_made_is_one_sentence(recipe, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "away")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for output in ("file/run", "nowhere", "loop", "a" * 300):
        with pytest.raises((OutputError, UserError)) as error:
            train(method_recipe("tfidf", recipe), tmp_path / output, quiet=True)
        assert error.value.exit_code == 2


def test_a_symlinked_folder_is_written_through_and_overwritten(recipe, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    for overwrite in (False, True):
        train(method_recipe("tfidf", recipe), tmp_path / "run", overwrite=overwrite, quiet=True)
        assert (tmp_path / "run").is_symlink()
        assert (tmp_path / "disk" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("encoder.max_length=999", "reads at most 64 tokens"),
        ("stages.0.metric=acuracy", 'did you mean "accuracy"'),
        ("stages.0.trainer.optmi=sgd", 'did you mean "optim"'),
        ("stages.0.trainer.learning_rate=1", "a key of its own"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_training(recipe, tmp_path, setting, message):
    with pytest.raises(RecipeError, match=message):
        fit(with_values(recipe, [setting]), load_data(recipe), tmp_path, quiet=True)


def test_rows_without_labels_cannot_be_learned_from(recipe, tmp_path):
    import dataclasses

    data = dataclasses.replace(load_data(recipe), train=TextSplit(["a text"]))
    with pytest.raises(UserError, match="--label COLUMN"):
        fit(recipe, data, tmp_path)


def test_fewer_training_rows_are_drawn_and_noted(recipe):
    changes = ["data.train_rows=30", "data.validation_rows=7", "data.test_rows=9"]
    data = load_data(with_values(recipe, changes))
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 7, 9)
    assert any("7 of" in note for note in data.notes)
    assert any("30 of" in note for note in data.notes)
    assert len(load_data(recipe).train) > 100


def test_a_folder_path_may_be_given_as_text(recipe, tmp_path):
    assert train(method_recipe("tfidf", recipe), str(tmp_path / "run"), quiet=True).folder == Path(
        tmp_path / "run"
    )


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("label-distance", ["distance_as=weight"]),
        ("label-distance", ["distance_as=weight", "distance=uniform", "temperature=0.2"]),
        ("supcon", ["projection_size=16", "views=2", "temperature=0.1", "weight=0.5"]),
        ("negative-supervision", ["hard=true"]),
        ("negative-supervision-am", ["hard=true"]),
        ("negative-supervision-ace", ["hard=true"]),
    ],
)
def test_contrastive_options_learn_with_balanced_batches(recipe, tmp_path, method, options):
    settings = [f"stages.0.objective.{option}" for option in options]
    chosen = with_values(method_recipe(method, recipe), ["stages.0.batches=balanced", *settings])
    result = train(chosen, tmp_path / "run", quiet=True)
    assert result.metrics["test"]["accuracy"] > 0.9
    assert not [name for name in load_fitted(tmp_path / "run").model.state_dict() if "projection" in name]


def test_the_report_has_ordered_classes_in_their_order(ticket_file, tickets, tmp_path):
    order = sorted({label for _, label in tickets}, reverse=True)
    settings = [f"data.source={ticket_file}", f"data.order={json.dumps(order)}"]
    train(with_values(method_recipe("tfidf"), settings), tmp_path / "run", quiet=True)
    page = (tmp_path / "run" / "report.html").read_text()
    matrix = page[page.index(">Confusion matrix</h2>") : page.index(">Classes</h2>")]
    places = [matrix.index(f">{label}<") for label in order]
    assert places == sorted(places)


def test_the_wrong_texts_are_written_with_their_rows_and_neighbours(recipe, tickets, tmp_path):
    few = with_values(recipe, ["data.few_shot=2", "stages.0.epochs=1"])
    result = train(few, tmp_path / "run", quiet=True, explain_errors=600)
    written = json.loads((tmp_path / "run" / "errors.json").read_text())
    table = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    wrong = {row for row, one in enumerate(table) if one["label"] != one["predicted_label"]}
    assert {error["row"] for error in written["errors"]} == wrong != set()
    assert len(wrong) == round(len(table) * (1 - result.metrics["test"]["accuracy"]))
    for error in written["errors"]:
        row, [answer] = table[error["row"]], error["answers"]
        assert (error["text"], error["gold"]) == (row["text"], [row["label"]])
        assert answer["predicted"] == [row["predicted_label"]]
        assert answer["probability"] == pytest.approx(row["probability"], abs=1e-4)
        assert set(error["nearest"]) == {row["label"], row["predicted_label"]}
        assert "".join(word for word, _ in error["words"]) == "".join(error["text"].split())
    assert any(note.startswith("Words that decide by ") for note in written["notes"])


def test_words_are_left_out_without_time_and_for_rows_that_the_final_model_was_trained_on(
    recipe, tickets, tmp_path
):
    few = with_values(recipe, ["data.few_shot=2", "stages.0.epochs=1"])
    train(few, tmp_path / "none", quiet=True, explain_errors=0)
    twice = with_values(few, ["data.validation_in_training=true"])
    data = replace(load_data(twice), test=None)
    fitted = fit(twice, data, tmp_path / "checkpoints", quiet=True)
    logits = {"validation": fitted.validation_scores(data.validation)}
    (tmp_path / "twice").mkdir()
    metrics = {"validation": {"accuracy": 0.5}, "rows": {"validation": len(data.validation)}}
    write_run(tmp_path / "twice", fitted, data, logits, metrics, explain_seconds=600)
    for name in ("none", "twice"):
        written = json.loads((tmp_path / name / "errors.json").read_text())
        assert written["errors"]
        assert not any("words" in error for error in written["errors"])
