from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tellapart.data.reading.tables import write_table
from tellapart.errors import DataError, RecipeError, TellapartWarning, UserError
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.comparison_tables import comparison_verdicts
from tellapart.fitting import trial_tasks
from tellapart.fitting import trials as module
from tellapart.fitting.paired_rows import PairedRows
from tellapart.recipes import Recipe, method_recipe, with_stages_of, with_values
from tellapart.runs.compare import compare


def test_methods_meet_on_the_same_seeds_and_rows(recipe, tmp_path):
    comparison = compare(
        recipe, ["frozen", "tfidf", "label-distance"], tmp_path / "out", trials=2, quiet=True
    )
    assert [trial.seed for trial in comparison.methods["tfidf"].trials] == [0, 1]
    assert {(pair.baseline, pair.method) for pair in comparison.pairs} == {
        ("frozen", "tfidf"),
        ("frozen", "label-distance"),
        ("tfidf", "label-distance"),
    }
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert Comparison.from_dict(written) == comparison
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "comparison.html",
        "errors.json",
        "comparison.png",
        "confusion-frozen.png",
        "label-distance-label-distance.png",
    } <= names
    assert not any(path.is_dir() for path in (tmp_path / "out" / "trials").iterdir())
    errors = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert errors["methods"] == ["frozen", "tfidf", "label-distance"]
    for method, result in comparison.methods.items():
        wrong = sum(
            len(answer["seeds"])
            for error in errors["errors"]
            for answer in error["answers"]
            if answer["method"] == method
        )
        rows = comparison.split_sizes["test"]
        assert wrong == round(sum(rows * (1 - score) for score in result.scores.values()))
    assert all(error["nearest"] for error in errors["errors"])
    # Seeds draw the test rows: what one of them trains on is evaluated by another, and would be its own neighbour.
    near = [
        (error["text"], other["text"])
        for error in errors["errors"]
        for texts in error["nearest"].values()
        for other in texts
    ]
    assert all(text != other for text, other in near)


def test_the_verdict_says_that_one_method_has_learned_from_more_rows(recipe, tmp_path):
    more = "frozen:data.validation_in_training=true"
    told: list[str] = []
    comparison = compare(
        recipe, ["frozen", more], tmp_path / "out", trials=1, quiet=True, announce=told.extend
    )
    (note,) = comparison.notes
    assert note in told
    assert note in comparison_verdicts(comparison)
    assert "trained on the validation rows too" in (tmp_path / "out" / "comparison.html").read_text()
    assert not compare(recipe, ["frozen", "tfidf"], tmp_path / "even", trials=1, quiet=True).notes


def test_trials_tell_which_rows_are_right_and_which_were_trained_on(recipe, tickets, tmp_path):
    source = tmp_path / "leaky"
    source.mkdir()
    labelled = [{"text": text, "label": label} for text, label in tickets]
    (source / "train.json").write_text(json.dumps(labelled[::2]))
    (source / "test.json").write_text(json.dumps(labelled[1::2] + labelled[:10]))
    leaky = with_values(recipe, [f"data.source={source}"])
    comparison = compare(leaky, ["tfidf", "frozen"], tmp_path / "out", trials=2, quiet=True)
    cells = {
        (method, seed): json.loads((tmp_path / "out" / "trials" / f"{method}-seed{seed}.json").read_text())
        for method in ("tfidf", "frozen")
        for seed in (0, 1)
    }
    right = {}
    for key, cell in cells.items():
        bits = "".join(f"{int(digit, 16):04b}" for digit in cell["correct"])
        right[key] = [bit == "1" for bit in bits[:106]]
        assert sum(right[key]) / 106 == pytest.approx(cell["metrics"]["accuracy"])
        assert set(bits[106:]) <= {"0"}
        trial = comparison.methods[key[0]].trials[key[1]]
        assert (trial.seen_rows, trial.unseen_score) == (cell["seen_rows"], cell["unseen_score"])
        assert 0 < trial.seen_rows <= 5  # some of the five are validation rows
        assert cell["unseen"]["rows"] == 106 - trial.seen_rows
        assert cell["unseen"]["accuracy"] == trial.unseen_score
    flips = comparison.pair("frozen").flips
    sides = [
        pair for seed in (0, 1) for pair in zip(right["tfidf", seed], right["frozen", seed], strict=True)
    ]
    assert (flips.gained, flips.lost) == (sides.count((False, True)), sides.count((True, False)))
    assert comparison.methods["tfidf"].trials[0].seen_rows == comparison.methods["frozen"].trials[0].seen_rows
    # A trial that an older version wrote has no such rows: the comparison goes on without them.
    old = tmp_path / "out" / "trials" / "frozen-seed1.json"
    old.write_text(
        json.dumps({k: v for k, v in cells["frozen", 1].items() if k not in ("correct", "seen_rows")})
    )
    resumed = compare(leaky, ["tfidf", "frozen"], tmp_path / "out", trials=2, resume=True, quiet=True)
    assert resumed.pair("frozen").flips is None
    assert resumed.pair("frozen").difference == comparison.pair("frozen").difference


def test_an_interrupted_comparison_goes_on_where_it_was(recipe, tmp_path, monkeypatch):
    whole = compare(recipe, ["tfidf", "frozen"], tmp_path / "whole", trials=2, quiet=True)
    real, calls = module.fit, []

    def interrupted(its_recipe, *arguments, **options):
        calls.append((its_recipe.method, its_recipe.seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(its_recipe, *arguments, **options)

    monkeypatch.setattr(module, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(recipe, ["tfidf", "frozen"], tmp_path / "out", trials=2, quiet=True)
    assert not (tmp_path / "out" / "comparison.json").exists()
    resumed = compare(recipe, ["tfidf", "frozen"], tmp_path / "out", trials=2, resume=True, quiet=True)
    assert calls == [("tfidf", 0), ("frozen", 0), ("tfidf", 1), ("tfidf", 1), ("frozen", 1)]
    assert {name: result.scores for name, result in resumed.methods.items()} == {
        name: result.scores for name, result in whole.methods.items()
    }


def test_a_trial_of_other_settings_is_not_taken_for_this_one(recipe, tmp_path, monkeypatch):
    compare(recipe, ["tfidf"], tmp_path / "out", trials=1, quiet=True)
    changed = with_values(recipe, ["data.test_share=0.4"])
    calls = []
    real = module.fit
    monkeypatch.setattr(module, "fit", lambda *a, **k: calls.append(1) or real(*a, **k))
    compare(changed, ["tfidf"], tmp_path / "out", trials=1, resume=True, quiet=True)
    assert calls == [1]


def test_trials_of_other_rows_are_not_mixed(recipe, tickets, tmp_path):
    file = tmp_path / "rows.csv"
    labels = {"lost": "stolen", "stolen": "lost"}
    for swap in ({}, labels):
        rows = [f"{text},{swap.get(label, label)}\n" for text, label in tickets]
        file.write_text("".join(["text,label\n", *rows]))
        its = with_values(recipe, [f"data.source={file}"])
        if not swap:
            compare(its, ["tfidf"], tmp_path / "out", trials=1, quiet=True)
    with pytest.raises(RecipeError, match="other labels of train"):
        compare(its, ["tfidf"], tmp_path / "out", trials=2, resume=True, quiet=True)
    (tmp_path / "out" / "fingerprint.json").unlink()  # a trial also knows its rows
    with pytest.raises(RecipeError, match=r"tfidf-seed0.json was begun with other labels of train"):
        compare(its, ["tfidf"], tmp_path / "out", trials=2, resume=True, quiet=True)


def test_a_file_of_label_texts_counts_by_its_content(recipe, tmp_path):
    texts = tmp_path / "texts.yaml"
    described = {"lost": "my card is gone", "stolen": "a thief took it", "fee": "you charge too much"}
    names = PairedRows({"a": recipe}, [0]).of(recipe, 0).labels.names
    texts.write_text(yaml.safe_dump(dict(zip(names, described.values(), strict=True))))
    its = with_values(recipe, [f"data.label_texts={texts}"])
    compare(its, ["tfidf"], tmp_path / "out", trials=1, quiet=True)
    texts.write_text(yaml.safe_dump({name: f"{name} or so" for name in names}))
    with pytest.raises(RecipeError, match="other label texts"):
        compare(its, ["tfidf"], tmp_path / "out", trials=1, resume=True, quiet=True)


def _of_version_0_1(recipe: Recipe) -> dict[str, Any]:
    """The content of a recipe without the keys that came later, but for those of objectives."""
    content = recipe.model_dump(mode="json")
    later = {
        "data": "regression label_names validation_rows unlabelled label_texts validation_in_training "
        "out_of_scope",
        "decision": "abstain abstain_by conformal",
        "encoder": "windows window_length window_stride",
    }
    for section, keys in later.items():
        for key in keys.split():
            del content[section][key]
    stage_keys = "gradient_cache label_text_weight label_text_anchors selection averaging views_from_layer"
    for key in stage_keys.split():
        del content["stages"][0][key]
    del content["self_training"]
    return content


def test_a_trial_of_a_version_with_fewer_keys_is_still_one(recipe, tmp_path):
    recipe = recipe.model_copy(update={"method": "tfidf"})
    content = _of_version_0_1(recipe)
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) + "tickets"
    trial = {"fingerprint": hashlib.sha256(written.encode()).hexdigest()}
    module.trial_file(recipe, tmp_path).write_text(json.dumps(trial))
    assert module.finished_trial(recipe, "tickets", tmp_path) == trial
    windowed = with_values(recipe, ["encoder.windows=max"])
    assert module.finished_trial(windowed, "tickets", tmp_path) is None


@pytest.mark.parametrize(
    ("method", "option", "later"),
    [
        ("supcon", "temperature=0.1", ("projection_size", "views")),
        ("label-distance", "projection_size=null", ("distance_as", "temperature")),
    ],
)
def test_a_trial_of_a_version_with_fewer_options_is_still_one(recipe, tmp_path, method, option, later):
    recipe = with_values(method_recipe(method, recipe), [f"stages.0.objective.{option}"])
    content = _of_version_0_1(recipe)
    objective = content["stages"][0]["objective"]
    for key in (*later, "warm_up"):
        objective.pop(key, None)
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) + "tickets"
    trial = {"fingerprint": hashlib.sha256(written.encode()).hexdigest()}
    module.trial_file(recipe, tmp_path).write_text(json.dumps(trial))
    assert module.finished_trial(recipe, "tickets", tmp_path) == trial
    changed = {"supcon": "views=2", "label-distance": "distance_as=weight"}[method]
    other = with_values(recipe, [f"stages.0.objective.{changed}"])
    assert module.finished_trial(other, "tickets", tmp_path) is None


def test_a_recipe_file_can_stand_for_a_method(recipe, tmp_path):
    file = tmp_path / "sharper.yaml"
    file.write_text(
        "method: supcon\nencoder: {pooling: stock}\nstages: [{objective: {name: supcon, temperature: 0.1}}]\n"
    )
    described = with_stages_of(file, recipe)
    assert described.stages[0].objective.temperature == 0.1
    assert described.stages[0].epochs == recipe.stages[0].epochs
    assert (described.encoder.pooling, described.encoder.name) == ("stock", recipe.encoder.name)
    comparison = compare(recipe, ["tfidf", str(file)], tmp_path / "out", trials=1, quiet=True)
    assert list(comparison.methods) == ["tfidf", "sharper"]


@pytest.mark.parametrize(
    ("methods", "trials", "message"),
    [
        (["tfidf", "tfidf"], 2, "not distinct"),
        ([], 2, "not distinct"),
        (["tfidf", "frozn"], 2, 'did you mean "frozen"'),
        (["tfidf"], 0, "0 trials"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused_before_it_starts(
    recipe, tmp_path, methods, trials, message
):
    with pytest.raises(RecipeError, match=message):
        compare(recipe, methods, tmp_path / "out", trials=trials, quiet=True)
    assert not (tmp_path / "out").exists()


def test_data_without_rows_to_compare_on_are_refused_before_the_folder_is_created(tmp_path):
    texts = {"text": [f"question {number}" for number in range(8)], "label": [*"abcdefgh"]}
    write_table(pa.table(texts), tmp_path / "one-each.csv")
    recipe = Recipe.model_validate({"data": {"source": str(tmp_path / "one-each.csv")}})
    with pytest.raises(DataError, match="no test or validation rows to compare methods on"):
        compare(recipe, ["tfidf", "frozen"], tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        compare(recipe, ["tfidf"], tmp_path / "out", quiet=True)


def test_a_setting_reaches_the_methods_that_know_it(recipe, tmp_path, monkeypatch):
    seen = {}

    def recorded(its_recipe, *_, **__):
        seen[its_recipe.method] = its_recipe.stages[0].objective
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", recorded)
    setting = ["stages.0.objective.tau=3"]
    for methods in (["label-distance", "frozen"], ["frozen", "label-distance"]):
        with pytest.raises(KeyboardInterrupt):
            compare(recipe, methods, tmp_path / methods[0], settings=setting, quiet=True)
    assert seen["label-distance"].tau == 3
    assert seen["frozen"].name == "cross-entropy"
    with pytest.raises(RecipeError, match='no key "tau"'):
        compare(recipe, ["frozen", "tfidf"], tmp_path / "none", settings=setting, quiet=True)


def test_variants_stand_beside_their_method(recipe, tmp_path):
    methods = ["tfidf", "tfidf:data.few_shot=4", "frozen:stages.0.regularisation=1:encoder.max_length=8"]
    few, weak = "tfidf few_shot=4", "frozen regularisation=1 max_length=8"
    comparison = compare(recipe, methods, tmp_path / "out", trials=2, quiet=True)
    assert list(comparison.methods) == ["tfidf", few, weak]
    assert comparison.pair(few).flips is not None
    assert few in (tmp_path / "out" / "comparison.html").read_text()
    assert Comparison.from_dict(json.loads((tmp_path / "out" / "comparison.json").read_text())) == comparison
    files = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith("confusion-"))
    assert len(files) == 3
    assert files[1].startswith("confusion-tfidf-few_shot-4-")
    cells = [json.loads(path.read_text()) for path in (tmp_path / "out" / "trials").iterdir()]
    assert sorted((cell["method"], cell["seed"]) for cell in cells) == [
        (name, seed) for name in (weak, "tfidf", few) for seed in (0, 1)
    ]
    # Each is what its recipe gives alone, on rows of its own.
    alone = compare(
        with_values(recipe, ["data.few_shot=4"]), ["tfidf"], tmp_path / "few", trials=2, quiet=True
    )
    assert alone.methods["tfidf"].scores == comparison.methods[few].scores
    assert alone.methods["tfidf"].scores != comparison.methods["tfidf"].scores


def test_finished_trials_of_variants_are_found_again(recipe, tmp_path, monkeypatch):
    methods = ["tfidf", "tfidf:data.few_shot=4", "tfidf:data.few_shot=8"]
    first = compare(recipe, methods, tmp_path / "out", trials=1, quiet=True)
    monkeypatch.setattr(module, "fit", None)
    again = compare(recipe, methods, tmp_path / "out", trials=1, resume=True, quiet=True)
    assert again.methods == first.methods


def test_names_with_markup_are_shown_as_they_are(recipe, tmp_path):
    separators = ["'<b>$x$</b>'", "'/../'"]
    methods = [f"tfidf:data.label_delimiter={one}:data.multi_label=false" for one in separators]
    comparison = compare(recipe, methods, tmp_path / "out", trials=1, quiet=True)
    assert "tfidf label_delimiter='<b>$x$</b>' multi_label=false" in comparison.methods
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<b>$x$" not in page
    assert "&lt;b&gt;$x$&lt;/b&gt;" in page
    assert all(path.parent == tmp_path / "out" for path in (tmp_path / "out").rglob("confusion-*"))


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("tfidf:data.test_rows=5", "on other rows than"),
        ("cross-entropy:stages.0.objective.total=2", "the data have 3 classes"),
        ("cross-entropy:stages.0.objective.class_weight={gone: 2}", 'the class "gone"'),
        ("label-distance-static:stages.0.objective.pairs=[[lost, stole]]", 'did you mean "stolen"'),
    ],
)
def test_a_variant_that_cannot_run_is_refused_before_anything_is_trained(
    recipe, tmp_path, variant, message, monkeypatch
):
    monkeypatch.setattr(module, "fit", None)
    with pytest.raises(RecipeError, match=message):
        compare(recipe, ["tfidf", variant], tmp_path / "out", trials=2, quiet=True)
    assert not (tmp_path / "out").exists()


def test_two_stages_are_auxiliary_labels_with_as_many_outputs_as_classes(recipe, tmp_path):
    quick = with_values(recipe, ["stages.0.epochs=1", "data.few_shot=8"])
    methods = ["two-stages", "auxiliary-labels:stages.0.objective.total=3"]
    comparison = compare(quick, methods, tmp_path / "out", trials=1, quiet=True)
    first, second = comparison.methods.values()
    assert first.trials[0].metrics == second.trials[0].metrics


def test_a_comparison_of_rankings_has_all_three_metrics_on_the_page_and_in_the_json(tmp_path):
    rows = [
        {"question_id": f"q{number}", "question": f"where is {number % 7}", "answer": answer, "label": label}
        for number in range(30)
        for answer, label in (
            (f"it is here {number % 5}", "yes"),
            ("nobody knows", "no"),
            ("over there", "no"),
        )
    ]
    source = tmp_path / "answers.json"
    source.write_text(json.dumps(rows))
    recipe = with_values(method_recipe("tfidf"), [f"data.source={source}"])
    comparison = compare(recipe, ["tfidf", "tfidf:data.few_shot=8"], tmp_path / "out", trials=1, quiet=True)
    assert comparison.metric == "mean_average_precision"
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "Ranking metrics" in page
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())["methods"]["tfidf"]
    for name in ("mean_average_precision", "mean_reciprocal_rank", "precision_at_1"):
        assert name.replace("_", " ") + " (%)" in page
        assert written["metrics"][name]["mean"] == written["trials"][0]["metrics"][name]


def test_a_comparison_elsewhere_equals_one_here_and_names_what_failed(
    recipe, tmp_path, elsewhere, monkeypatch
):
    methods = ["tfidf", "frozen"]
    here = compare(recipe, methods, tmp_path / "here", trials=2, quiet=True)
    for shares_files in (True, False):
        folder = tmp_path / f"shares-{shares_files}"
        begun = elsewhere(slots=2, shares_files=shares_files)
        there = compare(recipe, methods, folder, trials=2, quiet=True)
        assert [(task.recipe.method, task.recipe.seed) for (task,) in begun] == [
            ("tfidf", 0),
            ("frozen", 0),
            ("tfidf", 1),
            ("frozen", 1),
        ]
        assert {task.folders for (task,) in begun} == {(), (recipe.encoder.name,)}
        for method in methods:
            assert there.methods[method].scores == here.methods[method].scores
    # The last folder: one run is gone, and fails when it is repeated.
    (folder / "trials" / "frozen-seed1.json").unlink()
    monkeypatch.setattr(trial_tasks, "run_trial", _failing)
    with pytest.raises(
        UserError, match=r"1 of 1 runs failed, the first \(frozen, seed 1\) because the moon is"
    ):
        compare(recipe, methods, folder, trials=2, quiet=True, resume=True)


def test_an_unexpected_error_elsewhere_ends_no_other_run(recipe, tmp_path, elsewhere, monkeypatch):
    original = trial_tasks.run_trial

    def broken(recipe, *arguments, **options):
        if recipe.method == "tfidf" and recipe.seed == 0:
            raise RuntimeError("CUDA error:\n device-side assert triggered.")
        return original(recipe, *arguments, **options)

    monkeypatch.setattr(trial_tasks, "run_trial", broken)
    elsewhere(slots=1)
    with pytest.raises(
        UserError, match=r"1 of 4 runs failed, the first \(tfidf, seed 0\) .* assert triggered:"
    ):
        compare(recipe, ["tfidf", "frozen"], tmp_path, trials=2, quiet=True)
    names = sorted(path.name for path in (tmp_path / "trials").glob("*.json"))
    assert names == ["frozen-seed0.json", "frozen-seed1.json", "tfidf-seed1.json"]


def test_a_damaged_trial_is_run_again(recipe, tmp_path):
    before = compare(recipe, ["tfidf"], tmp_path, trials=2, quiet=True)
    for content in (b"", b'{"method": "tfi', b"[]", b"\xff"):
        (tmp_path / "trials" / "tfidf-seed1.json").write_bytes(content)
        with pytest.warns(TellapartWarning, match=r"tfidf-seed1.json is damaged"):
            after = compare(recipe, ["tfidf"], tmp_path, trials=2, quiet=True, resume=True)
        assert after.methods["tfidf"].scores == before.methods["tfidf"].scores


def test_a_trial_that_was_run_for_another_metric_is_scored_by_that_of_the_comparison(recipe, tmp_path):
    """A recipe file that names its own metric keeps it, so that its trials are found again with another --metric."""
    own = tmp_path / "own.yaml"
    own.write_text("method: tfidf\nstages: [{metric: accuracy}]\n")
    methods = ["frozen", str(own)]
    compare(recipe, methods, tmp_path / "out", quiet=True, trials=1)
    losses = with_values(recipe, ["stages.0.metric=log_loss"])
    found = compare(losses, methods, tmp_path / "out", quiet=True, trials=1, resume=True)
    assert found.metric == "log_loss"
    for method in found.methods.values():
        (trial,) = method.trials
        assert trial.score == trial.metrics["log_loss"] != trial.metrics["accuracy"]


def test_a_trial_without_the_metric_of_the_comparison_is_run_again(recipe, tmp_path):
    """As of a version that did not compute it."""
    before = compare(recipe, ["tfidf"], tmp_path, trials=1, quiet=True)
    file = tmp_path / "trials" / "tfidf-seed0.json"
    trial = json.loads(file.read_text())
    del trial["metrics"]["accuracy"]
    file.write_text(json.dumps(trial))
    after = compare(recipe, ["tfidf"], tmp_path, trials=1, quiet=True, resume=True)
    assert after.methods["tfidf"].scores == before.methods["tfidf"].scores
    assert "accuracy" in json.loads(file.read_text())["metrics"]


def _failing(*_, **__):
    raise DataError("the moon is full", "wait for two weeks")
