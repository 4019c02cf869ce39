"""Seeded, stratified and grouped splits: held-out validation and test rows, few-shot draws, samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tellapart.data.examples import TextData, TextSplit
from tellapart.errors import DataError, UserError

# One random stream per purpose: the test rows of a seed do not depend on the other settings.
_TEST, _VALIDATION, _FEW_SHOT, _FEW_SHOT_VALIDATION, _SAMPLE = range(5)


def prepare_splits(
    data: TextData,
    *,
    few_shot: int | None = None,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    seed: int = 0,
) -> TextData:
    """Makes the splits of a run with `complete_splits`, or with `draw_few_shot` after splitting off the test rows.

    Args:
        data: The task as read.
        few_shot: Training rows per class, or None for all rows.
        validation_share: Share of the training rows to validate on, after the test rows are split off.
        test_share: Share of the training rows to test on.
        seed: Seed of every draw.

    Raises:
        UserError: A share is outside [0, 1), or `few_shot` is negative.
    """
    if few_shot is None:
        return complete_splits(data, validation_share=validation_share, test_share=test_share, seed=seed)
    data = complete_splits(data, validation_share=0.0, test_share=test_share, seed=seed)
    return draw_few_shot(data, few_shot, seed=seed)


def complete_splits(
    data: TextData, *, validation_share: float = 0.1, test_share: float = 0.2, seed: int = 0
) -> TextData:
    """Splits missing test rows, then missing validation rows, off the training rows.

    The draw is stratified by label (iterative stratification for multi-label tasks: Sechidis, Tsoumakas and Vlahavas
    2011, On the Stratification of Multi-label Data); every label keeps a training row. Rows whose texts differ only
    in case and white space stay together, and so do rows with the same question id. `notes` describe the splits.

    Args:
        data: The task.
        validation_share: Share of the distinct training texts (questions in ranking tasks) to validate on, after the
            test rows are split off; 0 for no validation rows.
        test_share: Share of the distinct training texts to test on.
        seed: Seed of the draw; the same on every machine.

    Raises:
        UserError: A share is outside [0, 1).
    """
    if data.test is None:
        train, test, notes = _split_off(data.train, "test", test_share, seed, _TEST)
        data = replace(data, train=train, test=test, notes=(*data.notes, *notes))
    if data.validation is None:
        train, validation, notes = _split_off(data.train, "validation", validation_share, seed, _VALIDATION)
        data = replace(data, train=train, validation=validation, notes=(*data.notes, *notes))
    return data


def draw_few_shot(data: TextData, per_class: int, *, seed: int = 0) -> TextData:
    """Draws a few training rows per class, and as many other rows to validate on if validation rows are missing.

    As in LM-BFF (Gao, Fisch and Chen 2021, Making Pre-trained Language Models Better Few-shot Learners, §3),
    validation is as small as train. Validation rows share no text and no question id with the training rows.
    In multi-label tasks rows are drawn for the rarest labels first, until each label has at least `per_class` rows;
    rows without a label count as a class. The test rows are unchanged.

    Args:
        data: The task.
        per_class: Rows per class, or 0 for no labelled row; smaller classes keep all their rows.
        seed: Seed of the draw; the same on every machine.

    Raises:
        UserError: `per_class` is negative.
    """
    if per_class < 0:
        raise UserError(f"the number of rows per class is {per_class}", "give at least 0")
    sets = data.train.label_sets()
    drawn = _draw(sets, range(len(sets)), per_class, _generator(seed, _FEW_SHOT))
    notes = [f"{len(drawn)} of {len(sets)} training rows are kept: {per_class} of each class (seed {seed})."]
    notes += _short_classes("train", [sets[row] for row in drawn], data.labels.names, per_class)
    validation = data.validation
    if validation is None:
        groups = _groups(data.train)
        others = np.flatnonzero(~np.isin(groups, groups[drawn]))
        held = _draw(sets, others, per_class, _generator(seed, _FEW_SHOT_VALIDATION))
        validation = data.train.select(held) if len(held) else None
        notes.append(f"{len(held)} other training rows are kept to validate on.")
        notes += _short_classes("validation", [sets[row] for row in held], data.labels.names, per_class)
    return replace(data, train=data.train.select(drawn), validation=validation, notes=(*data.notes, *notes))


def redraw_splits(
    data: TextData, *, validation: int | None = None, test: int | None = None, seed: int = 0
) -> TextData:
    """Draws validation and test rows anew, in the numbers that a publication states, whatever splits the source has.

    Stratified like `complete_splits`; rows with the same text or question id stay together. The new test rows are
    drawn from all rows; without `test` the published test rows stay, and only the other splits are drawn anew.

    Args:
        data: The task as read.
        validation: Number of validation rows; None to leave these to `complete_splits`.
        test: Number of test rows; None to keep the published ones.
        seed: Seed of the draw; the same on every machine.

    Raises:
        DataError: There are too few rows, or none left to train on.
    """
    rows = data.train if data.validation is None else data.train.joined(data.validation)
    kept = data.test
    notes = []
    if test is not None:
        rows = rows if kept is None else rows.joined(kept)
        rows, kept = _exactly(rows, "test", test, seed, _TEST)
        notes.append(f"{test} of all rows are drawn as test rows (seed {seed}).")
    held = None
    if validation is not None:
        rows, held = _exactly(rows, "validation", validation, seed, _VALIDATION)
        notes.append(f"{validation} of the other rows are drawn as validation rows (seed {seed}).")
    return replace(data, train=rows, validation=held, test=kept, notes=(*data.notes, *notes))


def sample(split: TextSplit, rows: int, seed: int = 0) -> TextSplit:
    """Draws a sample stratified by label, in the original order; every label keeps a row if `rows` allows it.

    Questions of ranking tasks are drawn whole, stratified by their labels, until there are at least `rows` rows.

    Args:
        split: The rows to draw from, labelled or not.
        rows: Size of the sample, or its minimum with question ids; all rows are returned if there are no more.
        seed: Seed of the draw; the same on every machine.

    Raises:
        UserError: `rows` is below 1.
    """
    if rows < 1:
        raise UserError(f"the sample size is {rows}", "give at least 1")
    if rows >= len(split):
        return split
    generator = _generator(seed, _SAMPLE)
    if split.question_ids is not None:
        return split.select(_whole_questions(split, rows, generator))
    dropped = _hold_out(split.label_sets(), 1 - rows / len(split), generator)
    # rounding, and labels that keep a row, leave the count some rows off
    order = np.concatenate([generator.permutation(np.flatnonzero(side)) for side in (~dropped, dropped)])
    return split.select(np.sort(order[:rows]))


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])


def _whole_questions(split: TextSplit, rows: int, generator: np.random.Generator) -> np.ndarray:
    """Draws questions until they have at least `rows` rows; returns their rows, int64, ascending."""
    assert split.question_ids is not None
    questions = _codes(split.question_ids)  # (N,)
    sizes = np.bincount(questions)
    labels = _group_labels(questions, split)
    dropped = _hold_out(labels, 1 - rows / len(split), generator)
    kept = np.flatnonzero(~dropped)
    # One question per label first, since large questions can fill the sample early.
    first = _draw(labels, kept, 1, generator)
    rest = (np.setdiff1d(kept, first), np.flatnonzero(dropped))
    order = np.concatenate([first, *map(generator.permutation, rest)])
    needed = np.searchsorted(np.cumsum(sizes[order]), rows) + 1
    return np.flatnonzero(np.isin(questions, order[:needed]))


def _split_off(
    train: TextSplit, name: str, share: float, seed: int, purpose: int
) -> tuple[TextSplit, TextSplit | None, list[str]]:
    """Returns the remaining rows, those of the new split (None if empty), and notes."""
    if not 0 <= share < 1:
        raise UserError(f"the share of {name} rows is {share}", "give a share of at least 0 and below 1")
    if share == 0:
        return train, None, []
    groups = _groups(train)
    labels = _group_labels(groups, train)
    held = _hold_out(labels, share, _generator(seed, purpose))[groups]
    if not held.any():
        return train, None, [f"There are too few rows to split off {name} rows."]
    notes = [f"{held.sum()} of {len(train)} training rows are split off as {name} (seed {seed})."]
    counts = Counter(label for names in labels for label in names)
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        notes.append(f"{len(single)} class(es) with a single text stay in train: {_listed(single)}.")
    return train.select(np.flatnonzero(~held)), train.select(np.flatnonzero(held)), notes


def _exactly(split: TextSplit, name: str, rows: int, seed: int, purpose: int) -> tuple[TextSplit, TextSplit]:
    """Returns the remaining rows, and `rows` drawn ones."""
    if rows >= len(split):
        raise DataError(
            f"{rows} {name} rows cannot be drawn from {len(split)} rows", "use the whole set, or draw fewer"
        )
    generator = _generator(seed, purpose)
    groups = _groups(split)
    sizes = np.bincount(groups)
    held = _hold_out(_group_labels(groups, split), rows / len(split), generator)
    drawn, missing = np.zeros(len(sizes), dtype=bool), rows
    # rounding, and texts with several rows, leave the count some rows off
    for group in np.concatenate([generator.permutation(np.flatnonzero(side)) for side in (held, ~held)]):
        if sizes[group] <= missing:
            drawn[group] = True
            missing -= sizes[group]
    if missing:
        raise DataError(
            f"{rows} {name} rows cannot be drawn, since rows with the same text stay together",
            "remove duplicates, or draw another number of rows",
        )
    chosen = drawn[groups]
    return split.select(np.flatnonzero(~chosen)), split.select(np.flatnonzero(chosen))


def _groups(split: TextSplit) -> np.ndarray:
    """Numbers the groups of rows that must stay together (same text or question id), int64 (N,)."""
    texts = _codes(split.keys())
    if split.question_ids is None:
        return texts
    questions = _codes(split.question_ids) + texts.max() + 1
    nodes = questions.max() + 1
    # graph with texts and questions as nodes and rows as edges
    graph = coo_array((np.ones(len(split)), (texts, questions)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][texts]


def _group_labels(groups: np.ndarray, split: TextSplit) -> list[set[str]]:
    """Returns the labels of each group, given the group of each row (N,)."""
    labels: list[set[str]] = [set() for _ in range(groups.max() + 1)]
    for group, names in zip(groups, split.label_sets(), strict=True):
        labels[group] |= names
    return labels


def _codes(values: Sequence[str]) -> np.ndarray:
    seen: dict[str, int] = {}
    return np.fromiter((seen.setdefault(value, len(seen)) for value in values), np.int64, len(values))


def _by_label(
    label_sets: Sequence[Collection[str]], rows: Sequence[int] | np.ndarray
) -> dict[str, list[int]]:
    """Returns the rows of each label; unlabelled rows have the label ""."""
    members: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        for label in label_sets[row] or ("",):
            members[label].append(int(row))
    return members


def _rarest_first(members: dict[str, list[int]], generator: np.random.Generator) -> list[str]:
    names = sorted(members)  # the order of sets of strings differs between processes
    shuffled = [names[index] for index in generator.permutation(len(names))]
    return sorted(shuffled, key=lambda name: len(members[name]))


def _hold_out(
    label_sets: Sequence[Collection[str]], share: float, generator: np.random.Generator
) -> np.ndarray:
    """Draws a share of each label's units, rarest label first, but never the last unit of a label.

    scikit-learn's stratified splitters require as many rows per side as there are classes, and do not support
    multi-label tasks; here fractions of units are carried over to the next label.

    Args:
        label_sets: The labels of each unit (a row, or rows that must stay together).
        share: Share of the units, 0 to 1.
        generator: Source of randomness.

    Returns:
        Whether each unit is drawn, bool (units,).
    """
    members = _by_label(label_sets, range(len(label_sets)))
    remaining = {label: len(units) for label, units in members.items()}
    chosen, settled = np.zeros((2, len(label_sets)), dtype=bool)
    carried = 0.0
    for label in _rarest_first(members, generator):
        units = np.array(members[label])
        owed = share * len(units) + carried - chosen[units].sum()
        wanted = int(owed + 1e-9)
        for unit in generator.permutation(units[~settled[units]]):
            if wanted < 1:
                break
            labels = label_sets[unit] or ("",)
            if all(remaining[other] > 1 for other in labels):
                chosen[unit] = True
                wanted, owed = wanted - 1, owed - 1
                remaining.update({other: remaining[other] - 1 for other in labels})
        settled[units] = True
        carried = min(max(owed, 0.0), 1.0)
    return chosen


def _draw(
    label_sets: Sequence[Collection[str]],
    rows: Sequence[int] | np.ndarray,
    per_class: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draws rows until each label has `per_class` of them, rarest label first; int64, ascending."""
    members = _by_label(label_sets, rows)
    drawn: set[int] = set()
    counts: Counter[str] = Counter()
    for label in _rarest_first(members, generator):
        candidates = generator.permutation([row for row in members[label] if row not in drawn])
        for row in candidates[: max(per_class - counts[label], 0)]:
            drawn.add(int(row))
            counts.update(label_sets[row] or ("",))
    return np.array(sorted(drawn), dtype=np.int64)


def _short_classes(
    split: str, label_sets: Sequence[Collection[str]], names: Sequence[str], per_class: int
) -> list[str]:
    counts = Counter(label for labels in label_sets for label in labels)
    short = [name for name in names if counts[name] < per_class]
    return [f"{len(short)} class(es) have fewer in {split}: {_listed(short)}."] if short else []


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")
