from __future__ import annotations

import builtins
import json
from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from tellapart.errors import DataError, MissingDependencyError, OutputError, RecipeError, UserError
from tellapart.evaluation.decision import Decision
from tellapart.fitting import sweep_trials
from tellapart.fitting.fit import fit
from tellapart.fitting.pruning import PruningCallback
from tellapart.fitting.rows import load_data
from tellapart.fitting.sweep_start import baseline_recipe
from tellapart.recipes import load_recipe, method_recipe, with_values
from tellapart.runs import sweep as module
from tellapart.runs.sweep import sweep
from tellapart.runs.train import train

RATE = "stages.0.regularisation"
GRID = [f"{RATE}=1,2,4,8"]


class PretendedRuns:
    """Stands in for training: the score of a recipe is what a function says, and no time passes."""

    def __init__(self, quality):
        self.quality, self.calls, self.fail_at = quality, [], None

    def __call__(self, recipe, data, folder, *, quiet, callbacks, pretrainer, announce):
        self.calls.append((recipe.method, recipe.stages[0].regularisation, recipe.seed))
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        share = self.quality(recipe)

        def scores(split):
            gold = data.labels.encode(split.labels)
            logits = np.eye(len(data.labels))[gold]
            wrong = round((1 - share) * len(gold))
            logits[:wrong] = np.roll(logits[:wrong], 1, axis=1)
            return logits

        return SimpleNamespace(labels=data.labels, scores=scores, decision=Decision())


@pytest.fixture
def pretended(monkeypatch) -> PretendedRuns:
    """The larger the value of the search, the better; the baseline is in between."""
    runs = PretendedRuns(
        lambda recipe: 0.5 if recipe.method == "cross-entropy" else recipe.stages[0].regularisation / 10
    )
    monkeypatch.setattr(sweep_trials, "fit", runs)
    monkeypatch.setattr(module, "save_sweep_plot", lambda result, path: None)  # drawn in other tests
    return runs


@pytest.fixture
def frozen(recipe):
    return method_recipe("frozen", recipe)


def _table(result):
    return [
        (trial.number, trial.parameters, trial.state, trial.scores, trial.mean, trial.error)
        for trial in result.trials
    ]


def test_a_grid_is_tried_combination_by_combination_and_written_down(frozen, tmp_path):
    spaces = [f"{RATE}=0.1,10", "encoder.pooling=mean,cls"]
    result = sweep(frozen, spaces, tmp_path / "out", seeds=2, quiet=True)
    tried = [tuple(trial.parameters.values()) for trial in result.trials]
    assert sorted(tried) == [(0.1, "cls"), (0.1, "mean"), (10.0, "cls"), (10.0, "mean")]
    assert [trial.number for trial in result.trials] == list(range(4))
    assert all(list(trial.scores) == [0, 1] for trial in result.complete)
    assert result.baseline.method == "cross-entropy"
    assert list(result.baseline.scores) == [0, 1]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"study.db", "sweep.json", "sweep.html", "sweep.png", "best.yaml", "fingerprint.json"}
    written = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    assert written["environment"]["optuna"] == optuna.__version__


def test_the_best_recipe_trains(frozen, tmp_path):
    result = sweep(frozen, [f"{RATE}=0.1,10"], tmp_path / "out", baseline="none", quiet=True)
    best = load_recipe(tmp_path / "out" / "best.yaml")
    assert best.stages[0].regularisation == result.best.parameters[RATE]
    assert result.baseline is None
    run = train(best, tmp_path / "run", quiet=True)
    # The same rows, seed and values: the run validates as the trial did.
    assert run.metrics["validation"]["accuracy"] == result.best.scores[0]


def test_scores_are_those_of_the_validation_rows_and_test_rows_are_not_looked_at(
    frozen, tmp_path, monkeypatch, pretended
):
    asked = []
    real = sweep_trials.task_metrics
    monkeypatch.setattr(
        sweep_trials,
        "task_metrics",
        lambda labels, split, *a, **k: asked.append(split) or real(labels, split, *a, **k),
    )
    sweep(frozen, [f"{RATE}=1,2"], tmp_path / "out", baseline="none", quiet=True)
    data = load_data(frozen)
    assert [split.texts for split in asked] == [data.validation.texts] * 2


@pytest.mark.parametrize(
    ("spaces", "killed_at"),
    [(GRID, 5), ([f"{RATE}=0.1..9"], 2), ([f"{RATE}=0.1..9:log", "encoder.max_length=8..64"], 6)],
)
def test_a_killed_sweep_goes_on_to_the_result_of_an_uninterrupted_one(
    frozen, tmp_path, pretended, spaces, killed_at
):
    options = {"trials": 3, "seeds": 2, "quiet": True}
    whole = sweep(frozen, spaces, tmp_path / "whole", **options)
    calls, pretended.calls, pretended.fail_at = pretended.calls, [], killed_at
    with pytest.raises(KeyboardInterrupt):
        sweep(frozen, spaces, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "sweep.json").exists()
    pretended.fail_at = None
    resumed = sweep(frozen, spaces, tmp_path / "out", resume=True, **options)
    assert _table(resumed) == _table(whole)
    assert resumed.baseline.scores == whole.baseline.scores
    assert (resumed.best.parameters, len(resumed.trials)) == (whole.best.parameters, 3)
    # Nothing that was finished was run again: of the trial that was cut off, all its seeds.
    cut_off = 1 if killed_at <= 2 else (killed_at - 3) % 2 + 1
    assert len(pretended.calls) == len(calls) + cut_off


def test_a_sweep_that_is_done_is_not_run_again_and_more_trials_can_be_added(frozen, tmp_path, pretended):
    spaces = [f"{RATE}=0.1..9"]
    first = sweep(frozen, spaces, tmp_path / "out", trials=3, quiet=True)
    calls = len(pretended.calls)
    again = sweep(frozen, spaces, tmp_path / "out", trials=3, resume=True, quiet=True)
    assert (len(pretended.calls), _table(again)) == (calls, _table(first))
    more = sweep(frozen, spaces, tmp_path / "out", trials=5, resume=True, quiet=True)
    assert _table(more)[:3] == _table(first)
    assert _table(more) == _table(sweep(frozen, spaces, tmp_path / "at once", trials=5, quiet=True))


@pytest.mark.parametrize(
    "changed",
    [
        {"spaces": [f"{RATE}=1,2,4"]},
        {"baseline": "none"},
        {"recipe": "encoder.max_length=8"},
        {"seeds": 2},
    ],
)
def test_another_sweep_is_not_taken_for_this_one(frozen, tmp_path, pretended, changed):
    sweep(frozen, GRID, tmp_path / "out", trials=1, quiet=True)
    other = dict(changed)
    recipe = with_values(frozen, [other.pop("recipe")]) if "recipe" in other else frozen
    spaces = other.pop("spaces", GRID)
    with pytest.raises(UserError, match=r"was begun with (over|baseline|encoder.max_length|seeds)"):
        sweep(recipe, spaces, tmp_path / "out", trials=1, resume=True, quiet=True, **other)
    with pytest.raises(UserError, match="is not empty"):
        sweep(recipe, spaces, tmp_path / "out", trials=1, quiet=True, **other)
    replaced = sweep(recipe, spaces, tmp_path / "out", trials=1, overwrite=True, quiet=True, **other)
    assert len(replaced.trials) == 1


def test_a_sweep_without_a_record_of_its_settings_is_refused_every_time(frozen, tmp_path, pretended):
    sweep(frozen, GRID, tmp_path / "out", trials=1, quiet=True)
    (tmp_path / "out" / "fingerprint.json").unlink()
    for _ in range(2):
        with pytest.raises(UserError, match="an earlier version began the sweep"):
            sweep(frozen, GRID, tmp_path / "out", trials=1, resume=True, quiet=True)


def test_trials_below_the_median_of_the_others_are_stopped_after_a_seed_and_recorded_so(
    frozen, tmp_path, pretended
):
    spaces = [f"{RATE}=1,2,3,4,5,6,7,8,9"]
    result = sweep(frozen, spaces, tmp_path / "out", seeds=3, quiet=True)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        # What Optuna's median rule asks, counted by hand over the trials before.
        before = [one.scores[0] for one in result.complete if one.number < trial.number]
        assert len(before) >= 5
        assert trial.scores[0] < np.median(before)
        assert list(trial.scores) == [0]
    ends = json.loads((tmp_path / "out" / "sweep.json").read_text())["trials"]
    assert [one["state"] for one in ends] == [trial.state for trial in result.trials]
    unpruned = sweep(frozen, spaces, tmp_path / "unpruned", seeds=3, prune=False, quiet=True)
    assert len(unpruned.complete) == 9


def test_a_trial_that_cannot_be_run_is_recorded_with_its_reason_and_the_others_go_on(
    frozen, tmp_path, pretended
):
    def quality(recipe):
        if recipe.stages[0].regularisation == 8:
            raise RecipeError("8 is too much", "take less")
        return 0.5

    pretended.quality = quality
    result = sweep(frozen, GRID, tmp_path / "out", baseline="none", quiet=True)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert [(trial.parameters, trial.error) for trial in failed] == [
        ({RATE: 8.0}, "8 is too much: take less.")
    ]
    assert len(result.complete) == 3
    calls = len(pretended.calls)
    sweep(frozen, GRID, tmp_path / "out", baseline="none", resume=True, quiet=True)
    assert len(pretended.calls) == calls  # the reason will be the same


def test_if_no_trial_can_be_run_the_first_reason_is_raised(frozen, tmp_path, pretended):
    def quality(recipe):
        raise RecipeError(f"{recipe.stages[0].regularisation:g} is wrong", "take another")

    pretended.quality = quality
    for resume in (False, True):
        with pytest.raises(UserError, match=r"the first because \d is wrong: take another"):
            sweep(frozen, GRID, tmp_path / "out", baseline="none", resume=resume, quiet=True)
    assert len(pretended.calls) == 4


def test_a_full_disk_is_no_fault_of_the_values(frozen, tmp_path, pretended):
    def quality(recipe):
        raise OutputError("the disk is full", "free some space")

    pretended.quality = quality
    with pytest.raises(OutputError, match="disk is full"):
        sweep(frozen, GRID, tmp_path / "out", baseline="none", quiet=True)
    pretended.quality = lambda recipe: 0.5
    result = sweep(frozen, GRID, tmp_path / "out", baseline="none", resume=True, quiet=True)
    assert len(result.complete) == 4


@pytest.mark.parametrize(
    ("method", "asked", "expected"),
    [
        ("label-distance", None, "cross-entropy"),
        ("label-distance", "supcon", "supcon"),
        ("label-distance", "none", None),
        ("cross-entropy", None, None),
        ("cross-entropy", "frozen", "frozen"),
    ],
)
def test_the_baseline_is_cross_entropy_unless_asked_otherwise(recipe, method, asked, expected):
    made = baseline_recipe(method_recipe(method, recipe), asked)
    assert (made and made.method) == expected


def test_the_baseline_shares_the_schedule_and_the_main_loss_but_nothing_of_the_method(recipe):
    searched = with_values(
        method_recipe("label-distance", recipe),
        [
            "stages.0.objective.label_smoothing=0.1",
            "stages.0.objective.tau=3",
            "stages.0.epochs=3",
            "encoder.pooling=cls",
        ],
    )
    made = baseline_recipe(searched, None)
    assert made.stages[0].objective.model_dump(exclude_defaults=True) == {"label_smoothing": 0.1}
    assert (made.stages[0].epochs, made.encoder, made.data) == (3, searched.encoder, searched.data)
    for method in ("frozen", "tfidf"):
        made = baseline_recipe(method_recipe(method, recipe), None)
        assert (made.stages[0].learns, made.stages[0].epochs) == ("all", recipe.stages[0].epochs)
        assert made.encoder.name != "tfidf"


class _Record(optuna.pruners.BasePruner):
    """Prunes nothing, or everything from a step on."""

    def __init__(self, from_step=np.inf):
        self.from_step = from_step

    def prune(self, study, trial):
        return trial.last_step >= self.from_step


def _asked(pruner):
    study = optuna.create_study(direction="maximize", pruner=pruner)
    return study.ask()


def test_the_course_of_a_run_is_reported_at_its_evaluations_as_a_mean_with_the_seeds_before(recipe, tmp_path):
    trial = _asked(_Record())
    short = with_values(recipe, ["stages.0.epochs=2", "stages.0.evaluations=4"])
    fitted = fit(
        short,
        load_data(short),
        tmp_path,
        quiet=True,
        callbacks=[PruningCallback(trial, "accuracy", [0.5], stages=1)],
    )
    logged = [entry["eval_accuracy"] for entry in fitted.history if "eval_accuracy" in entry]
    reported = trial.study.trials[0].intermediate_values
    steps = sorted(reported)
    assert 2 <= len(steps) == len(logged) - 1  # the last one's place is that of the whole run's score
    assert 1000 < steps[0] < steps[-1] < 2000
    best = np.maximum.accumulate(logged[:-1])
    assert [reported[step] for step in steps] == pytest.approx((0.5 + best) / 2)


def test_a_run_that_falls_behind_stops_at_that_evaluation(recipe, tmp_path):
    trial = _asked(_Record(from_step=400))
    callback = PruningCallback(trial, "accuracy", [], stages=1)
    with pytest.raises(optuna.TrialPruned):
        fit(recipe, load_data(recipe), tmp_path, quiet=True, callbacks=[callback])
    steps = sorted(trial.study.trials[0].intermediate_values)
    assert steps[-2] < 400 <= steps[-1] < 600


def test_a_run_of_two_stages_goes_through_the_steps_once(recipe):
    trial = _asked(_Record())
    callback = PruningCallback(trial, "log_loss", [], stages=2)
    arguments = SimpleNamespace(load_best_model_at_end=True)
    for scores in ([0.7, 0.6], [0.9, 0.8, 0.85, 0.2]):
        callback.on_train_begin(None, None, None)
        for number, score in enumerate(scores, start=1):
            state = SimpleNamespace(global_step=number, max_steps=len(scores))
            callback.on_evaluate(arguments, state, None, metrics={"eval_log_loss": score})
    # A second stage starts from a fresh layer: what the first one reached says nothing about its end.
    assert trial.study.trials[0].intermediate_values == {250: 0.7, 500: 0.6, 625: 0.9, 750: 0.8, 875: 0.8}


def test_a_training_size_can_be_searched_on_the_same_validation_rows(frozen, tmp_path, monkeypatch):
    seen = {}
    real = sweep_trials.fit

    def recorded(recipe, data, *arguments, **options):
        seen[recipe.data.train_rows] = (len(data.train), data.validation.texts)
        return real(recipe, data, *arguments, **options)

    monkeypatch.setattr(sweep_trials, "fit", recorded)
    sweep(frozen, ["data.train_rows=12,30"], tmp_path / "out", baseline="none", quiet=True)
    assert {rows: size for rows, (size, _) in seen.items()} == {12: 12, 30: 30}
    assert seen[12][1] == seen[30][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spaces": ["stages.0.epoch=1,2"]}, 'did you mean "epochs"'),
        ({"spaces": ["seed=1,2"]}, "--seeds"),
        ({"trials": 0}, "0 trials"),
        ({"seeds": 0}, "0 seeds"),
        ({"baseline": "cross-entrpy"}, 'did you mean "cross-entropy"'),
        ({"recipe": "stages.0.metric=accurcy"}, 'did you mean "accuracy"'),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_before_it_starts(frozen, tmp_path, options, message):
    given = {"spaces": GRID} | options
    recipe = with_values(frozen, [given.pop("recipe")]) if "recipe" in given else frozen
    with pytest.raises(RecipeError, match=message):
        sweep(recipe, output=tmp_path / "out", quiet=True, **given)
    assert not (tmp_path / "out").exists()


def test_without_rows_to_validate_on_it_is_refused(recipe, tmp_path):
    file = tmp_path / "two.csv"
    file.write_text("text,label\n" + "\n".join(f"word{n},{label}" for n, label in enumerate("abab")))
    few = with_values(method_recipe("frozen", recipe), [f"data.source={file}", "data.few_shot=2"])
    with pytest.raises(DataError, match="validation rows"):
        sweep(few, GRID, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused(frozen, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        sweep(frozen, GRID, tmp_path / "out", quiet=True)


def test_without_optuna_the_remedy_is_named(frozen, tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_optuna(name, *args, **kwargs):
        if name.split(".")[0] == "optuna":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_optuna)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[sweep\]'"):
        sweep(frozen, GRID, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_progress_is_a_line_a_trial_on_standard_error_and_nothing_when_quiet(
    frozen, tmp_path, pretended, capsys
):
    sweep(frozen, [f"{RATE}=1,2"], tmp_path / "out")
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if "/3 " in line]
    assert lines == err.splitlines()[-3:]
    assert lines[0].startswith("1/3 baseline cross-entropy, seed 0:")
    assert lines[1].startswith("2/3 trial 1 of at most 2: stages.0.regularisation=")
    sweep(frozen, [f"{RATE}=1,2"], tmp_path / "out", resume=True)
    assert "trial" not in capsys.readouterr().err
    sweep(frozen, [f"{RATE}=1,2"], tmp_path / "quiet", quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("there", [False, True])
def test_values_that_are_drawn_again_count_on_the_bar(frozen, tmp_path, pretended, elsewhere, capsys, there):
    if there:
        elsewhere()
    options = {"seeds": 2, "baseline": "none", "prune": False}
    for trials in (2, 9):  # more trials than values, which are known only when the sweep goes on
        result = sweep(frozen, [f"{RATE}=1..3:1"], tmp_path, trials=trials, resume=trials == 9, **options)
    lines = [line for line in capsys.readouterr().err.splitlines() if "/18 " in line]
    assert [line.split()[0] for line in lines] == [f"{done}/18" for done in range(6, 19, 2)]
    again = [line for line in lines if "values drawn again: stages.0.regularisation=" in line]
    assert len(again) == 9 - len(result.trials) >= 6


def test_trials_elsewhere_have_the_scores_of_trials_here(pretended, elsewhere, frozen, tmp_path):
    here = sweep(frozen, GRID, tmp_path / "here", seeds=2, prune=False, quiet=True)
    begun = elsewhere(slots=2)
    there = sweep(frozen, GRID, tmp_path / "there", seeds=2, quiet=True)
    assert len(begun) == 5  # the baseline, and four trials over both seeds
    assert {task.folders for (task,) in begun} == {(frozen.encoder.name,)}
    assert sorted(_table(there), key=lambda row: row[1][RATE]) == [
        (position, *rest[1:]) for position, rest in zip(_numbers(there), _by_value(here), strict=True)
    ]
    assert there.best.parameters == {RATE: 8}
    assert (there.baseline.scores, there.baseline.method) == (here.baseline.scores, here.baseline.method)
    assert not (tmp_path / "there" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("prune", "there", "said"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_sweep_says_that_it_stops_no_trial_early(
    pretended, elsewhere, frozen, tmp_path, prune, there, said
):
    if there:
        elsewhere()
    notes = []
    sweep(frozen, GRID, tmp_path / "out", prune=prune, quiet=True, announce=notes.extend)
    assert ("Trials run in other processes: none is stopped early." in notes) == said


def _by_value(result):
    return sorted(_table(result), key=lambda row: row[1][RATE])


def _numbers(result):
    return [row[0] for row in _by_value(result)]


def test_a_sweep_elsewhere_goes_on_with_the_combinations_that_are_left(
    pretended, elsewhere, frozen, tmp_path
):
    elsewhere(slots=2)
    pretended.fail_at = 4
    with pytest.raises(KeyboardInterrupt):
        sweep(frozen, GRID, tmp_path / "out", quiet=True)
    pretended.fail_at = None
    done = len(pretended.calls)
    result = sweep(frozen, GRID, tmp_path / "out", quiet=True, resume=True)
    assert sorted(trial.parameters[RATE] for trial in result.complete) == [1, 2, 4, 8]
    assert len(pretended.calls) - done < 5


def test_ranges_are_searched_with_several_trials_at_once(pretended, elsewhere, frozen, tmp_path):
    elsewhere(slots=3)
    result = sweep(frozen, [f"{RATE}=1..9"], tmp_path / "out", trials=7, baseline="none", quiet=True)
    values = [trial.parameters[RATE] for trial in result.complete]
    assert len(values) == len(set(values)) <= 7
    assert len(values) >= 5


def test_a_failing_trial_elsewhere_is_that_trials_result(pretended, elsewhere, frozen, tmp_path):
    def quality(recipe):
        if recipe.stages[0].regularisation == 2:
            raise DataError("two is unlucky", "take another number")
        return 0.5

    pretended.quality = quality
    elsewhere(slots=2)
    result = sweep(frozen, GRID, tmp_path / "out", baseline="none", quiet=True)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert [(trial.parameters[RATE], trial.error) for trial in failed] == [
        (2, "two is unlucky: take another number.")
    ]
    assert len(result.complete) == 3


@pytest.mark.parametrize("whose", ["trial", "baseline"])
def test_what_fails_elsewhere_for_another_reason_than_its_values_runs_again_on_resuming(
    pretended, elsewhere, frozen, tmp_path, whose
):
    """A device that fails says nothing of the values: the others finish, and this is no result."""

    def quality(recipe):
        if recipe.stages[0].regularisation == 2 if whose == "trial" else recipe.method == "cross-entropy":
            raise RuntimeError("CUDA error:\n an illegal memory access")
        return 0.5

    pretended.quality = quality
    elsewhere(slots=2)
    leftover = tmp_path / "out" / "checkpoints" / "trial-abc"
    with pytest.raises(
        UserError, match=f"1 of 5 runs failed, the first .*{whose}.* because RuntimeError: CUDA"
    ):
        sweep(frozen, GRID, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out" / "best.yaml").exists()
    leftover.mkdir(parents=True)
    done = len(pretended.calls)
    pretended.quality = lambda recipe: 0.5
    result = sweep(frozen, GRID, tmp_path / "out", quiet=True, resume=True)
    assert len(pretended.calls) == done + 1
    assert len(result.complete) == 4
    assert result.baseline is not None
    assert not leftover.exists()
