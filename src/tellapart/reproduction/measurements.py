"""What a cell of a table can be besides a classifier's figures: the keys of each kind, their types and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.reading import assigned, validated_as

Size = Annotated[int, Field(ge=1)]


class Measurement(BaseModel):
    """What all kinds have.

    Args:
        source: What is measured on, which the column names.
        encoder: `minilm`, a folder, or a Hub name; where it is pre-trained first, what that starts from.
        seed: Of everything random; no setting, since `--seed` and `--trials` count it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = None
    encoder: str = "minilm"
    seed: int = 0


class CorrectionsMeasurement(Measurement):
    """How often a language model's wrong predictions are synonyms, see `tellapart.pretraining.checkpoint_statistics`.

    Args:
        checkpoint: The share of the pre-training run after which it is measured.
        text: The column of the texts, for a table.
        synonyms: `wordnet`, or a file that `tellapart synonyms build` wrote.
        max_length: Longest sequence in tokens.
        mask_share: Of the tokens.
        limit: Sequences to read, a sample; all by default.
    """

    checkpoint: Annotated[float, Field(gt=0, le=1)] = 1.0
    text: str | None = None
    synonyms: str = "wordnet"
    max_length: Annotated[int, Field(ge=8)] = 128
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    limit: Size | None = None


class SpansMeasurement(Measurement):
    """How well a model answers questions out of a text, see `tellapart.question_answering.runs`.

    Args:
        train: The questions to learn from; by default the training split of the source.
        max_length: Tokens of a window.
        stride: Tokens that two windows of a text share.
        epochs: Passes over the windows.
        batch_size: Windows a step.
        learning_rate: By default from the encoder's size.
        precision: `auto`, `fp32` or `bf16`.
    """

    train: str | None = None
    max_length: Annotated[int, Field(ge=8)] = 384
    stride: Annotated[int, Field(ge=0)] = 128
    epochs: Annotated[float, Field(gt=0)] = 2.0
    batch_size: Size = 16
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class RobustnessMeasurement(SpansMeasurement):
    """What an attack does to the answers of such a model, see `tellapart.question_answering.attacks`.

    Args:
        attack: `swap-synonyms` or `add-sentence`.
        share: Of a text's words, at most so many are replaced. Synonyms only.
        wordnet: WordNet's folder; by default where it is usually installed.
    """

    attack: Literal["swap-synonyms", "add-sentence"] = "swap-synonyms"
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    wordnet: str | None = None


MEASUREMENTS: dict[str, type[Measurement]] = {
    "corrections": CorrectionsMeasurement,
    "spans": SpansMeasurement,
    "robustness": RobustnessMeasurement,
}
"""What `measures` of a protocol stands for, but for `classification`, whose cells are recipes."""


def with_measurement_values(measurement: Measurement, assignments: Sequence[str]) -> Measurement:
    """Returns a measurement with values changed.

    Args:
        measurement: Where to start from.
        assignments: `key=value` strings, such as `epochs=3`; values are YAML.

    Raises:
        RecipeError: There is no such key, or the value is not allowed.
    """
    kind = type(measurement)
    known = [name for name in kind.model_fields if name != "seed"]
    for assignment in assignments:
        key = assignment.partition("=")[0]
        if "=" in assignment and key not in known:
            raise RecipeError(
                f'this table has no setting "{key}"{did_you_mean(key, known)}',
                "choose from " + ", ".join(known),
            )
    return validated_as(kind, assigned(measurement, assignments, example="epochs=3"), owner="")
