"""Hyper-parameter search: trains a recipe with different values and scores them on the validation rows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from tellapart.errors import (
    OutputError,
    RecipeError,
    TellapartError,
    TrackerError,
    UserError,
)
from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.sweeps import (
    SweepBaseline,
    SweepResult,
    parameters_text,
    summary,
    value_text,
)
from tellapart.execution.engine import Engine, schedule
from tellapart.execution.places import Place
from tellapart.files import replacing, write_json
from tellapart.fitting.environment import check_single_process, environment
from tellapart.fitting.fingerprints import check_resumed, read_fingerprint
from tellapart.fitting.fit import Announce
from tellapart.fitting.folder import CHECKPOINTS, claimed, inputs_of
from tellapart.fitting.pruning import STEPS_A_SEED, PruningCallback, report
from tellapart.fitting.rows import resolve_method
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.study import OpenTrial, SweepStudy, import_optuna, open_study
from tellapart.fitting.sweep_start import baseline_recipe, check_sweep, sweep_fingerprint
from tellapart.fitting.sweep_trials import (
    SweepRows,
    SweepScores,
    SweepTask,
    run_sweep_task,
    scored,
    seed_score,
)
from tellapart.fitting.tracking import TRACKING, check_tracker
from tellapart.fitting.trial_tasks import Failure, check_none_failed, encoder_folders, lost_task
from tellapart.inspection.report import write_sweep_report
from tellapart.inspection.sweep_figure import save_sweep_plot
from tellapart.recipes import Recipe
from tellapart.recipes.spaces import parse_spaces, with_parameters
from tellapart.training.progress import RunsBar

if TYPE_CHECKING:
    import optuna

AT_ONCE = "Trials run in other processes: none is stopped early."
CONFIDENCE = 0.95


def sweep(
    recipe: Recipe,
    spaces: Sequence[str],
    output: str | Path,
    *,
    trials: int | None = None,
    seeds: int = 1,
    baseline: str | None = None,
    prune: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    pretrainer: Pretrainer | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
    track: str | None = None,
    recipe_file: str | Path | None = None,
    place: Place | None = None,
) -> SweepResult:
    """Trains a recipe with each combination of values and scores it on the validation rows.

    A trial is one combination of values over all seeds. Two trials with one seed have the same split, initial
    weights and order of the rows; the test rows are never used. Trials are stored in `study.db`, from which a
    killed sweep continues with `resume=True` to the same result.

    Args:
        recipe: The recipe to vary; seeds count up from its `seed`.
        spaces: `path=values`, as `tellapart.recipes.spaces.parse_spaces` reads them.
        output: The folder for `sweep.json`, `sweep.html`, `sweep.png`, `best.yaml` and `study.db`.
        trials: Number of combinations; by default all of a grid of lists, else 20.
        seeds: Seed runs per trial.
        baseline: A method that runs with the same seeds and schedule; by default `cross-entropy`
            (`mean-squared-error` for regression), unless it is the recipe's own method; "none" for no baseline.
        prune: Whether a trial stops early when its score at an evaluation, or the mean after a seed, is below
            the median of the trials before, once five are complete.
        resume: Whether to continue an interrupted sweep; `trials` may have changed.
        overwrite: Whether to delete an earlier run.
        quiet: Whether to show no progress.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`, as for `train`.
        announce: Called with the notes on the data before training begins, and by each trial with those on the
            encoder.
        track: Experiment tracker, `tensorboard`, `trackio`, `mlflow` or `wandb`, which writes below `tracking`:
            one run per trial and seed.
        recipe_file: The file of the recipe, which is never deleted with an overwritten folder.
        place: Where trials run; by default in this process, or one per GPU where there are several. Several at a time
            run to their end, and values are drawn before all earlier scores are known.

    Raises:
        RecipeError: A search space, the baseline or a number is invalid.
        DataError: The data cannot be used, or there are no validation rows.
        MissingDependencyError: Optuna is not installed.
        UserError: The folder is in use or holds another sweep, or no trial could be finished.
        OutputError: The folder cannot be written.
    """
    check_single_process("a sweep")
    check_tracker(track)
    place = place or Place()
    place.check_tracked(track)
    for name, number in (("trials", trials), ("seeds", seeds)):
        if number is not None and number < 1:
            raise RecipeError(f"there cannot be {number} {name}", f"use --{name} 1 or more")
    recipe = resolve_method(recipe)
    searched = parse_spaces(recipe, spaces)
    compared = baseline_recipe(recipe, baseline)
    import_optuna()
    rows = SweepRows(recipe)
    fingerprint = sweep_fingerprint(recipe, compared, rows, searched, seeds=seeds, prune=prune)
    if overwrite:
        # A cluster has its own encoders.
        check_sweep(recipe, compared, searched, rows, encoders=place.on is None, pretrainer=pretrainer)
    inputs = (recipe_file, *inputs_of(recipe))
    with (
        place.engine() as engine,
        claimed(output, resume=resume, overwrite=overwrite, inputs=inputs) as folder,
        engine,  # closed before the folder is released
    ):
        if (folder / "study.db").exists() and read_fingerprint(folder) is None:
            raise UserError(
                f"an earlier version began the sweep in {folder} and kept no record of its settings and rows",
                "replace it with --overwrite, or choose another --output",
            )
        check_resumed(folder, fingerprint, resume=resume)
        if announce is not None:
            announce([*rows.read.notes, *engine.notes, *([AT_ONCE] if prune and engine.isolated else [])])
        runs = _Runs(recipe, rows, folder, seeds, quiet, pretrainer, announce, track)
        with open_study(
            folder / "study.db", greater_is_better=runs.metric.greater_is_better, prune=prune
        ) as study:
            search = SweepStudy(study, searched, trials, recipe.seed)
            with runs.bar(search, compared, quiet) as bar:
                if engine.isolated:
                    runs.elsewhere(engine, search, compared, bar)
                held_against = None if compared is None else runs.baseline(compared, study, bar)
                for trial in search.open_trials(repeated=lambda values: runs.repeat(values, bar)):
                    runs.trial(trial, search, bar)
            search.check_any_complete()
            found = search.results(CONFIDENCE, rows.metric)
        result = SweepResult(
            source=rows.read.source,
            split_sizes=rows.sizes(runs.seeds[-1]),
            encoder=recipe.encoder.name,
            method=recipe.method,
            metric=rows.metric,
            confidence=CONFIDENCE,
            seeds=runs.seeds,
            spaces=searched,
            trials=found,
            baseline=held_against,
            environment=environment() | {"optuna": import_optuna().__version__},
        )
        _write(folder, result, recipe)
        return result


class _Runs:
    """Runs recipes over the seeds of a sweep, each in a temporary folder."""

    def __init__(
        self,
        recipe: Recipe,
        rows: SweepRows,
        folder: Path,
        seeds: int,
        quiet: bool,
        pretrainer: Pretrainer | None,
        announce: Announce,
        track: str | None,
    ) -> None:
        self.recipe, self.rows, self.folder = recipe, rows, folder
        self.options: dict[str, Any] = {"quiet": quiet, "pretrainer": pretrainer}
        self.announce, self.track = announce, track
        self.seeds = tuple(range(recipe.seed, recipe.seed + seeds))
        self.metric = METRICS[rows.metric]

    def bar(self, search: SweepStudy, baseline: Recipe | None, quiet: bool) -> RunsBar:
        """Returns the bar over all seed runs; a trial that is stopped early counts with all its seeds."""
        done = len(self.seeds) * search.finished
        if baseline is not None:
            done += len(self._scored_seeds(search.study))
        return RunsBar(len(self.seeds) * (search.trials + (baseline is not None)), done, quiet=quiet)

    def _scored_seeds(self, study: optuna.Study) -> set[str]:
        return set(study.user_attrs.get("baseline", {})) & set(map(str, self.seeds))

    def baseline(self, recipe: Recipe, study: optuna.Study, bar: RunsBar) -> SweepBaseline:
        """Scores the baseline; finished seeds are read from the study."""
        done: dict[str, Any] = study.user_attrs.get("baseline", {})
        for seed in self.seeds:
            if str(seed) in done:
                continue
            start = time.perf_counter()
            score = self._score(recipe, seed, f"baseline-seed{seed}")
            done[str(seed)] = {"score": score, "seconds": time.perf_counter() - start}
            study.set_user_attr("baseline", done)
            bar.finish(f"baseline {recipe.method}, seed {seed}: {self.metric.display(score)}")
        scores = {seed: done[str(seed)]["score"] for seed in self.seeds}
        seconds = sum(done[str(seed)]["seconds"] for seed in self.seeds)
        return SweepBaseline(**summary(scores, seconds, CONFIDENCE, self.rows.metric), method=recipe.method)

    def trial(self, trial: OpenTrial, search: SweepStudy, bar: RunsBar) -> None:
        """Runs a trial and records its outcome."""
        start, scores = time.perf_counter(), dict[int, float]()
        error: TellapartError | None = None
        try:
            self._score_seeds(trial, scores)
        except import_optuna().TrialPruned:
            search.prune(trial, scores, time.perf_counter() - start)
            self._show(trial, "stopped early", search, bar)
            return
        except (OutputError, TrackerError):
            raise  # not caused by the values
        except torch.OutOfMemoryError:
            error = UserError("the device is out of memory", "lower the batch size or --max-length")
        except TellapartError as raised:
            error = raised
        self._record(trial, scores, time.perf_counter() - start, error, search, bar)

    def _record(
        self,
        trial: OpenTrial,
        scores: dict[int, float],
        seconds: float,
        error: TellapartError | None,
        search: SweepStudy,
        bar: RunsBar,
    ) -> None:
        if error is not None:
            search.fail(trial, error, scores, seconds)
        told = f"failed: {error}" if error else self.metric.display(search.complete(trial, scores, seconds))
        self._show(trial, told, search, bar)

    def repeat(self, parameters: dict[str, Any], bar: RunsBar) -> None:
        """Counts values that are drawn again and not run again."""
        bar.finish(f"values drawn again: {_listed(parameters)}", len(self.seeds))

    def _show(self, trial: OpenTrial, outcome: str, search: SweepStudy, bar: RunsBar) -> None:
        number = f"trial {trial.number + 1} of at most {search.trials}"
        bar.finish(f"{number}: {_listed(trial.parameters)}: {outcome}", len(self.seeds))

    def _score_seeds(self, trial: OpenTrial, scores: dict[int, float]) -> None:
        """Fills in the score of each seed; raises TrialPruned if the trial should stop."""
        recipe = with_parameters(self.recipe, trial.parameters)
        fits = 1 if recipe.data.unlabelled is None else 1 + recipe.self_training.rounds
        for seed in self.seeds:
            before = list(scores.values())
            stages = fits * len(recipe.stages)
            callback = PruningCallback(trial.handle, self.rows.metric, before, stages)
            scores[seed] = self._score(recipe, seed, f"trial{trial.number}-seed{seed}", [callback])
            if len(scores) < len(self.seeds):
                report(trial.handle, float(np.mean(list(scores.values()))), STEPS_A_SEED * len(scores))

    def _score(
        self, recipe: Recipe, seed: int, name: str, callbacks: Sequence[TrainerCallback] = ()
    ) -> float:
        """Trains with one seed and returns the metric on its validation rows; `name` is that of the tracker's run."""
        seeded = scored(recipe, seed)
        return seed_score(
            seeded,
            self.rows.of(seeded),
            self.folder / CHECKPOINTS,
            self.rows.metric,
            name=name,
            log=self.folder / TRACKING,
            callbacks=callbacks,
            announce=self.announce if seed == self.seeds[0] else None,
            track=self.track,
            **self.options,
        )

    def elsewhere(self, engine: Engine, search: SweepStudy, baseline: Recipe | None, bar: RunsBar) -> None:
        """Runs what is left of baseline and trials on an engine of other processes; no trial stops early.

        Trials that were lost have no outcome: they are named in the end, and run again with `--resume`.

        Raises:
            UserError: The baseline failed, or trials were lost, after all others are finished.
        """
        failures: list[Failure] = []
        runs = 0
        checkpoints = self.folder / CHECKPOINTS
        shutil.rmtree(checkpoints, ignore_errors=True)  # of processes that were killed

        def left() -> Iterator[tuple[OpenTrial | None, Recipe]]:
            if baseline is not None and len(self._scored_seeds(search.study)) < len(self.seeds):
                yield None, baseline
            for trial in search.open_trials(at_once=True, repeated=lambda values: self.repeat(values, bar)):
                try:
                    yield trial, with_parameters(self.recipe, trial.parameters)
                except RecipeError as error:
                    self._record(trial, {}, 0.0, error, search, bar)

        def task(trial: OpenTrial | None, recipe: Recipe) -> SweepTask:
            seeded = [scored(recipe, seed) for seed in self.seeds]
            return SweepTask(
                name="baseline" if trial is None else f"trial{trial.number}",
                runs=tuple((one, self.rows.of(one)) for one in seeded),
                metric=self.rows.metric,
                folder=self.folder.resolve() if engine.shares_files else None,
                directory=str(Path.cwd()),
                folders=encoder_folders(recipe),
                pretrainer=self.options["pretrainer"],
                track=self.track,
            )

        for (trial, recipe), outcome in schedule(
            left(), run_sweep_task, engine, lost=lost_task, arguments=lambda run: (task(*run),)
        ):
            assert outcome is not None
            runs += 1
            if self.announce is not None:
                self.announce(outcome.notes)
            if outcome.error is not None and (trial is None or not outcome.expected):
                name = "the baseline" if trial is None else f"trial {trial.number + 1}"
                failures.append((name, outcome.error))
                bar.finish(f"{name}: failed: {outcome.error[0]}", len(self.seeds))
                continue
            error = None if outcome.error is None else UserError(*outcome.error)
            found = outcome.value or SweepScores({}, {})
            if trial is not None:
                self._record(trial, found.scores, sum(found.seconds.values()), error, search, bar)
                continue
            done = {
                str(seed): {"score": score, "seconds": found.seconds[seed]}
                for seed, score in found.scores.items()
            }
            search.study.set_user_attr("baseline", done)
            bar.finish(f"baseline {recipe.method}", len(self.seeds))
        shutil.rmtree(checkpoints, ignore_errors=True)
        check_none_failed(failures, runs)


def _listed(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{path}={value_text(value)}" for path, value in parameters.items())


def _write(folder: Path, result: SweepResult, recipe: Recipe) -> None:
    write_json(folder / "sweep.json", result.to_dict())
    with replacing(folder / "best.yaml") as temporary:
        found = f"# The best of {len(result.trials)} trials: {parameters_text(result, result.best)}\n"
        best = with_parameters(recipe, result.best.parameters)
        temporary.write_text(found + best.to_yaml(), encoding="utf-8")
    write_sweep_report(folder / "sweep.html", result)
    save_sweep_plot(result, folder / "sweep.png")
