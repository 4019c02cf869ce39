"""Compares methods on one data set over paired seeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextData, TextSplit
from tellapart.errors import RecipeError
from tellapart.evaluation.comparison import Comparison, Trial, build_comparison
from tellapart.evaluation.confusions import from_json
from tellapart.evaluation.metrics import METRICS, find_metric, main_metric, metric_label
from tellapart.evaluation.task import is_ranking
from tellapart.execution.places import Place
from tellapart.fitting.environment import check_single_process, environment
from tellapart.fitting.fingerprints import Fingerprint, check_resumed
from tellapart.fitting.fit import Announce
from tellapart.fitting.folder import claimed, inputs_of
from tellapart.fitting.nearest import add_nearest
from tellapart.fitting.paired_rows import PairedRows
from tellapart.fitting.prepared import check_start
from tellapart.fitting.refit import refit_note
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import resolve_method
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.tracking import check_tracker
from tellapart.fitting.trial_tasks import TrialTask, encoder_folders, run_elsewhere
from tellapart.fitting.trials import TRIALS, evaluated_split, finished_trial, run_trial, unpacked
from tellapart.inspection.compared_texts import ComparedTexts, compared_data
from tellapart.inspection.comparison_files import summed_confusion, write_comparison
from tellapart.recipes import Recipe, compared_recipes
from tellapart.training.progress import RunsBar


def compare(
    recipe: Recipe,
    methods: Sequence[str],
    output: str | Path,
    *,
    trials: int = 3,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    pretrainer: Pretrainer | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
    track: str | None = None,
    recipe_file: str | Path | None = None,
    place: Place | None = None,
) -> Comparison:
    """Trains every method over the same seeds and compares them pairwise.

    A seed determines the split, the few-shot sample, the initial weights and the order of the rows, so two methods
    with one seed differ only in the method. Each finished seed run is a file from which a killed comparison
    continues with `resume=True`.

    Args:
        recipe: Data, encoder and schedule for all; seeds count up from its `seed`.
        methods: Names from `tellapart.recipes.methods()`, or recipe files, which contribute stages, encoder,
            decision and self-training under the file's name; the first is the baseline. A variant has changes behind
            its name, `cross-entropy:data.few_shot=8:stages.0.epochs=5`, and is named after them, see
            `tellapart.recipes.compared_recipes`.
        output: The folder for `comparison.json`, `comparison.html`, `errors.json` and the figures.
        trials: Seeds per method.
        settings: `path=value` changes, such as `stages.0.objective.tau=3`, for the methods that have the path.
        resume: Whether to keep existing seed runs.
        overwrite: Whether to delete them.
        quiet: Whether to show no progress.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`, as for `train`.
        announce: Called with the notes on the data, and with those on the encoder when a method's first seed begins.
        track: Experiment tracker, `tensorboard`, `trackio`, `mlflow` or `wandb`, which writes below `tracking`:
            one run per method and seed.
        recipe_file: The file of the recipe, which is never deleted with an overwritten folder.
        place: Where the runs are trained; by default in this process, or one per GPU where there are several. On a
            cluster the rows travel there, the results come back, and this process writes them.

    Raises:
        RecipeError: A method is unknown or named twice, does not fit the data or would be evaluated on other rows,
            or there are fewer than one trial.
        DataError: The data cannot be used.
        UserError: Runs failed in other processes, after all others are finished; or no cluster answers.
    """
    check_single_process("a comparison")
    check_tracker(track)
    place = place or Place()
    place.check_tracked(track)
    if trials < 1:
        raise RecipeError(f"there cannot be {trials} trials", "use --trials 3 or more")
    recipes = {
        method: resolve_method(its_recipe)
        for method, its_recipe in compared_recipes(recipe, methods, settings).items()
    }
    seeds = range(recipe.seed, recipe.seed + trials)
    rows = PairedRows(recipes, seeds)
    baseline = next(iter(recipes.values()))
    data = rows.of(baseline, recipe.seed)
    metric = (
        recipe.stages[0].metric
        or data.metric
        or main_metric(data.labels, is_ranking(data.labels, data.train))
    )
    resolved = {}
    # A cluster has encoders of its own.
    prepared = partial(check_start, pretrainer=pretrainer) if overwrite and place.on is None else resolve
    for method, its_recipe in recipes.items():  # refuses what cannot run, before anything is trained
        run = prepared(its_recipe, rows.of(its_recipe, recipe.seed))
        find_metric(run.data.labels, metric, is_ranking(run.data.labels, run.data.train))
        resolved[method] = run.recipe
    evaluated_split(data)  # refuses data without
    uneven = refit_note(resolved)
    files = (recipe_file, *(method.split(":")[0] for method in methods))
    inputs = [*files, *(name for its_recipe in recipes.values() for name in inputs_of(its_recipe))]
    with (
        place.engine() as engine,
        claimed(output, resume=resume, overwrite=overwrite, inputs=inputs) as folder,
        engine,  # closed before the folder is released
    ):
        finished = _finished_runs(folder, recipes, rows, seeds, resume)
        if announce is not None:
            notes = [note for each in recipes.values() for note in rows.of(each, recipe.seed).notes]
            announce(list(dict.fromkeys([*notes, *uneven, *engine.notes])))

        def said(seeded: Recipe) -> Announce:
            return _for_method(announce, seeded.method) if seeded.seed == recipe.seed else None

        def trained(seeded: Recipe, data: TextData) -> dict[str, Any]:
            options: dict[str, Any] = {"pretrainer": pretrainer, "announce": said(seeded), "track": track}
            return run_trial(seeded, data, folder / TRIALS, metric, quiet, **options)

        def travelling(seeded: Recipe) -> TrialTask:
            shared = folder.resolve() if engine.shares_files else None
            data = rows.of(recipes[seeded.method], seeded.seed)
            folders = encoder_folders(seeded)
            return TrialTask(seeded, data, metric, shared, str(Path.cwd()), folders, pretrainer, track)

        with RunsBar(len(recipes) * trials, len(finished), quiet=quiet) as bar:
            if engine.isolated:
                left = [
                    recipes[method].model_copy(update={"seed": seed})
                    for seed in seeds
                    for method in recipes
                    if (method, seed) not in finished
                ]
                for seeded, outcome in run_elsewhere(left, travelling, engine, folder):
                    if (tell := said(seeded)) is not None:
                        tell(outcome.notes)
                    finished.add((seeded.method, seeded.seed))
                    bar.finish(_outcome(seeded, outcome.value, outcome.error, metric))
            return _compared(recipes, rows, seeds, folder, metric, trained, finished, bar, uneven)


def _for_method(announce: Announce, method: str) -> Announce:
    """Returns `announce` with the name of the method before each note."""
    return announce and (lambda notes: announce([f"{method}: {note}" for note in notes]))


def _finished_runs(
    folder: Path, recipes: Mapping[str, Recipe], rows: PairedRows, seeds: Sequence[int], resume: bool
) -> set[tuple[str, int]]:
    """Checks that the comparison in the folder is one of the same rows; returns the finished seed runs."""
    baseline = next(iter(recipes.values()))
    data = rows.of(baseline, seeds[0])
    contents = {key: dict(named) for key, named in data.fingerprints.items() if key == "data.source"}
    settings = {"data.source": baseline.data.source}
    compared = Fingerprint(kind="compare", settings=settings, contents=contents)
    check_resumed(folder, compared, resume=resume)  # older trials are warned of one by one
    finished = set()
    for method, its_recipe in recipes.items():
        fingerprints = rows.of(its_recipe, seeds[0]).fingerprints
        for seed in seeds:
            seeded = its_recipe.model_copy(update={"seed": seed})
            if finished_trial(seeded, data.source, folder / TRIALS, fingerprints) is not None:
                finished.add((method, seed))
    return finished


def _compared(
    recipes: Mapping[str, Recipe],
    rows: PairedRows,
    seeds: Sequence[int],
    folder: Path,
    metric: str,
    run: Callable[[Recipe, TextData], dict[str, Any]],
    finished: Collection[tuple[str, int]],
    bar: RunsBar,
    notes: Sequence[str],
) -> Comparison:
    """Runs every method with every seed, and writes the comparison."""
    baseline = next(iter(recipes.values()))
    first = rows.of(baseline, seeds[0])
    labels, first_keys = first.labels, evaluated_split(first).keys()
    cells: dict[str, list[dict[str, Any]]] = {method: [] for method in recipes}
    texts: dict[int, np.ndarray] = {}
    numbers: dict[str, int] = {}
    wrong = ComparedTexts(labels.names)
    for seed in seeds:
        data = rows.of(baseline, seed)
        split = evaluated_split(data)
        keys = split.keys()
        texts[seed] = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
        for method, its_recipe in recipes.items():
            seeded = its_recipe.model_copy(update={"seed": seed})
            its_data = rows.of(its_recipe, seed)
            cells[method].append(run(seeded, its_data))
            if (method, seed) not in finished:
                bar.finish(_outcome(seeded, cells[method][-1], None, metric))
        if not labels.regression:
            wrong.add(seed, split, texts[seed], {name: runs[-1].get("wrong") for name, runs in cells.items()})
    comparison = build_comparison(
        {
            method: [Trial(**{key: cell[key] for key in _TRIAL_KEYS if key in cell}) for cell in its_cells]
            for method, its_cells in cells.items()
        },
        {
            method: [from_json(cell["confusion"]) for cell in its_cells if "confusion" in cell]
            for method, its_cells in cells.items()
        },
        class_names=labels.names,
        metric=metric,
        source=data.source,
        split_sizes={name: len(split) for name, split in data.splits.items()},
        encoder=baseline.encoder.name,
        environment=environment(),
        correct={
            method: {
                cell["seed"]: unpacked(cell["correct"], len(texts[cell["seed"]]))
                for cell in its_cells
                if "correct" in cell
            }
            for method, its_cells in cells.items()
        },
        texts=texts,
        notes=notes,
    )
    bar.show("report")
    matrices = {} if labels.regression else {name: summed_confusion(runs) for name, runs in cells.items()}
    errors = wrong.errors()
    note = add_nearest(errors, _never_evaluated(first, first_keys, numbers), labels, baseline.encoder.name)
    workbench = compared_data(errors, labels, matrices, note, wrong.complete) if matrices else None
    write_comparison(folder, comparison, cells, labels, workbench)
    return comparison


_TRIAL_KEYS = ("seed", "score", "metrics", "seconds", "seen_rows", "unseen_score")


def _outcome(
    recipe: Recipe, cell: Mapping[str, Any] | None, error: tuple[str, str] | None, metric: str
) -> str:
    """Returns a seed run and its metric, or the cause of its failure, in words."""
    if cell is None:
        return f"{recipe.method}, seed {recipe.seed}: failed: {error[0] if error else 'unknown'}"
    score = f"{metric_label(metric)} {METRICS[metric].display(cell['score'])}"
    return f"{cell['method']}, seed {cell['seed']}: {score} in {cell['seconds']:.0f} s"


def _never_evaluated(data: TextData, own: Sequence[str], evaluated: Iterable[str]) -> TextSplit:
    """Returns the training rows of the first seed without those that only another seed evaluates.

    Where a seed draws the test rows, another one trains on them: a text would be its own nearest training text.

    Args:
        data: The rows of the first seed.
        own: The keys of the rows that the first seed evaluates.
        evaluated: The keys of the rows that any seed evaluates.
    """
    foreign = {*evaluated} - {*own}
    return data.train.select([row for row, key in enumerate(data.train.keys()) if key not in foreign])
