"""Settings of table cells that are not classifiers: keys, types and defaults per kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.reading import assigned, validated_as

Size = Annotated[int, Field(ge=1)]


class Measurement(BaseModel):
    """Settings of all kinds.

    Args:
        source: The evaluated data; by default the column's.
        encoder: `minilm`, a folder, or a Hub name; with pre-training its starting point.
        seed: Random seed; not a setting, since `--seed` and `--trials` determine it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = None
    encoder: str = "minilm"
    seed: int = 0


class CorrectionsMeasurement(Measurement):
    """How often a language model's wrong predictions are synonyms, see `tellapart.pretraining.masked_statistics`.

    Args:
        checkpoint: Share of the pre-training run after which the checkpoint is evaluated.
        text: Column of the texts, for tabular files.
        synonyms: `wordnet`, or a file that `tellapart synonyms build` wrote.
        max_length: Longest sequence in tokens.
        mask_share: Share of tokens that are masked.
        limit: Number of sampled sequences; all by default.
    """

    checkpoint: Annotated[float, Field(gt=0, le=1)] = 1.0
    text: str | None = None
    synonyms: str = "wordnet"
    max_length: Annotated[int, Field(ge=8)] = 128
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    limit: Size | None = None


class QuestionAnsweringMeasurement(Measurement):
    """Exact match and F1 of a question answering model, see `tellapart.question_answering.runs`.

    Args:
        train: Training questions; by default the training split of the source.
        max_length: Longest window in tokens.
        stride: Tokens by which consecutive windows overlap.
        epochs: Passes over the windows.
        batch_size: Windows per step.
        learning_rate: By default depends on the encoder's size.
        precision: `auto`, `fp32` or `bf16`.
    """

    train: str | None = None
    max_length: Annotated[int, Field(ge=8)] = 384
    stride: Annotated[int, Field(ge=0)] = 128
    epochs: Annotated[float, Field(gt=0)] = 2.0
    batch_size: Size = 16
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class RobustnessMeasurement(QuestionAnsweringMeasurement):
    """Robustness of a question answering model to an attack, see `tellapart.question_answering.attacks`.

    Args:
        attack: `swap-synonyms` or `add-sentence`.
        share: Largest share of a text's words that is replaced. Synonyms only.
        wordnet: Folder of WordNet; by default its usual place of installation.
    """

    attack: Literal["swap-synonyms", "add-sentence"] = "swap-synonyms"
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    wordnet: str | None = None


MEASUREMENTS: dict[str, type[Measurement]] = {
    "corrections": CorrectionsMeasurement,
    "spans": QuestionAnsweringMeasurement,
    "robustness": RobustnessMeasurement,
}
"""Value of `measures` in a protocol to its settings; cells of `classification` have a `Recipe` instead."""


def with_measurement_values(measurement: Measurement, assignments: Sequence[str]) -> Measurement:
    """Returns a measurement with values changed.

    Args:
        measurement: The measurement to change.
        assignments: `key=value` strings, such as `epochs=3`; values are YAML.

    Raises:
        RecipeError: A key is unknown, or a value is not allowed.
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
