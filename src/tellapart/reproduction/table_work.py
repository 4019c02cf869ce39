"""The work of a run, counted before it is done: texts that are passed through the encoder, and operations.

A pass forward takes two floating point operations a parameter and token, one forward and backward six (Kaplan et al.
2020, Scaling Laws for Neural Language Models, §2.1). Attention between tokens, embeddings, the classifier and, in
pre-training, the vocabulary head are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.windowed import WINDOW_LENGTH, WINDOW_STRIDE
from tellapart.fitting.heads import PROBE_ROWS
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import DataRecipe, EncoderRecipe, Recipe, StageRecipe
from tellapart.training.defaults import default_epochs, default_max_length

FORWARD, LEARNING = 2, 6
"""Operations a parameter and token: of a pass forward, and of one forward and backward."""

TWO_VIEWS = ("label-distance", "r-drop")
"""Objectives that pass every text twice."""

TFIDF = "tfidf"


@dataclass(frozen=True)
class SplitCounts:
    """Rows that a run trains on, validates on and is compared on."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Work:
    """Texts and operations.

    Args:
        training_texts: Texts that are trained on, once for every epoch.
        scored_texts: Texts that are passed forward only: to validate, to test, to start from.
        operations: Floating point operations, with every text as long as it may be.
    """

    training_texts: int = 0
    scored_texts: int = 0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.training_texts + other.training_texts,
            self.scored_texts + other.scored_texts,
            self.operations + other.operations,
        )


def split_counts(sizes: Mapping[str, int], classes: int, data: DataRecipe) -> SplitCounts:
    """Returns the rows of a run, but for those that stratifying and equal texts move to the other side of a split.

    Args:
        sizes: Rows of each split that the source has; `train` is one of them.
        classes: How many there are.
        data: What is drawn from the splits, and split off.
    """
    train, validation, test = sizes["train"], sizes.get("validation"), sizes.get("test")
    if test is None:
        test = int(train * data.test_share)
        train -= test
    if data.few_shot is not None:
        drawn = min(train, data.few_shot * classes)
        if validation is None:
            validation = min(train - drawn, data.few_shot * classes)
        train = drawn
    elif validation is None:
        validation = int(train * data.validation_share)
        train -= validation
    return SplitCounts(
        min(train, data.train_rows or train),
        min(validation, data.validation_rows or validation),
        min(test, data.test_rows or test),
    )


def input_tokens(encoder: EncoderRecipe) -> int:
    """Returns the tokens of the longest input, which every text is taken to have; those of windows, one by one."""
    windowed = encoder.windows != "none"
    length = encoder.max_length or default_max_length(
        from_scratch=encoder.name in FROM_SCRATCH, windowed=windowed
    )
    if not windowed:
        return length
    window = encoder.window_length or WINDOW_LENGTH
    shared = window // WINDOW_STRIDE if encoder.window_stride is None else encoder.window_stride
    return window * max(1, math.ceil((length - shared) / (window - shared)))


def trial_work(recipe: Recipe, rows: SplitCounts, parameters: int) -> Work:
    """Returns the work of a trial: every stage to its last epoch, and the rows that methods are compared on.

    Args:
        recipe: What is run.
        rows: How many rows it has.
        parameters: That every token passes through, of all encoders.
    """
    return _fit_work(recipe, rows, parameters) + _scored(rows.test, recipe, parameters)


def choice_work(recipe: Recipe, rows: SplitCounts, parameters: int) -> Work:
    """Returns the work of an alternative that the validation rows judge; the arguments are those of `trial_work`."""
    return _fit_work(recipe, rows, parameters) + _scored(rows.validation, recipe, parameters)


def pretraining_work(recipe: PretrainRecipe, parameters: int, generator: int = 0) -> Work | None:
    """Returns the work of a pre-training run, its sequences for texts; None where the steps depend on the texts.

    Args:
        recipe: The run.
        parameters: That every token of the encoder passes through.
        generator: Those of the generator, with `electra`.
    """
    if recipe.steps is None:
        return None
    batches = recipe.steps * recipe.gradient_accumulation_steps
    tokens = batches * (recipe.batch_tokens or recipe.batch_size * recipe.max_length)
    operations = LEARNING * (parameters + generator)
    if recipe.correction == "soft-sentence":
        # The original is passed forward; MLM passes the sentence with its predictions too, ELECTRA has done so.
        operations += (FORWARD + (LEARNING if recipe.objective == "mlm" else 0)) * parameters
    return Work(math.ceil(tokens / recipe.max_length), 0, float(operations * tokens))


def _fit_work(recipe: Recipe, rows: SplitCounts, parameters: int) -> Work:
    if recipe.encoder.name == TFIDF:
        return Work()
    work = Work()
    for number, stage in enumerate(recipe.stages):
        if stage.learns == "head":  # every text is encoded once, and the vectors are kept
            work += _scored(rows.train + rows.validation, recipe, parameters)
            continue
        starts_at_random = stage.start == "random" or (number == 0 and recipe.encoder.name in FROM_SCRATCH)
        if not starts_at_random:
            work += _scored(min(rows.train, PROBE_ROWS), recipe, parameters)
        work += _stage_work(stage, recipe, rows, parameters)
    decision = recipe.decision
    if decision.thresholds == "tuned" or decision.temperature != "none":
        work += _scored(rows.validation, recipe, parameters)
    return work


def _stage_work(stage: StageRecipe, recipe: Recipe, rows: SplitCounts, parameters: int) -> Work:
    rows_a_step = stage.batch_size * stage.gradient_accumulation_steps
    from_scratch = recipe.encoder.name in FROM_SCRATCH
    epochs = stage.epochs or default_epochs(rows.train, rows_a_step, from_scratch=from_scratch)
    steps = math.ceil(epochs * math.ceil(rows.train / rows_a_step))
    texts = math.ceil(epochs * rows.train)
    if stage.trainer.get("max_steps", -1) > 0:
        steps = stage.trainer["max_steps"]
        texts = steps * rows_a_step
    a_token = LEARNING + (
        FORWARD if stage.gradient_cache is not None else 0
    )  # the cache encodes a batch twice
    passes = (2 if stage.objective.name in TWO_VIEWS else 1) * (1 if stage.perturbation == "none" else 2)
    learned = Work(texts, 0, float(passes * a_token * parameters * texts * input_tokens(recipe.encoder)))
    evaluations = math.ceil(steps / max(1, math.ceil(steps / stage.evaluations)))
    return learned + _scored(evaluations * rows.validation, recipe, parameters)


def _scored(texts: int, recipe: Recipe, parameters: int) -> Work:
    if recipe.encoder.name == TFIDF:
        return Work()
    return Work(0, texts, float(FORWARD * parameters * texts * input_tokens(recipe.encoder)))
