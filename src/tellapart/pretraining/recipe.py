"""Pre-training recipes: keys, defaults, validation and overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tellapart.errors import RecipeError
from tellapart.objectives.options import MAX_SEED, MAX_STEPS, MAX_WORKERS, Settings, setting
from tellapart.recipes.reading import assigned, read_mapping, validated_as

NEW = "new"
"""Value of `encoder` for a new model with random weights."""

CorrectionName = Literal["none", "hard", "soft", "soft-sentence", "hard+soft"]


class PretrainRecipe(Settings):
    """A pre-training run."""

    texts: str | None = setting(
        None,
        "Text file, folder of .txt files, table, name from `tellapart data list`, or data set on the Hub.",
    )
    text: str | None = setting(None, "Column of the texts, for a table. Default: found by its name.")
    sequences: Literal["lines", "documents"] = setting(
        "lines",
        "`lines`: each line or row is a sequence, longer ones are split into equal parts. `documents`: each file or "
        "row is cut into sequences of full length.",
    )
    encoder: str = setting("minilm", "`minilm`, a folder, a Hub name, or `new` to train from scratch.")
    generator: str | None = setting(
        None,
        "For `electra`: the generator that belongs to the encoder. Default: the one beside it, else a new one.",
    )
    family: Literal["bert", "electra"] | None = setting(
        None, "Family of a new model, `bert` or `electra`. Default: by the objective."
    )
    vocabulary_size: int | None = setting(
        None, "Vocabulary size of a new model's tokenizer. Default: 8000.", ge=100
    )
    lowercase: bool | None = setting(None, "Lowercase texts in a new model's tokenizer. Default: true.")
    hidden_size: int | None = setting(None, "Hidden size of a new model. Default: 256.", ge=1)
    layers: int | None = setting(None, "Layers of a new model. Default: 4.", ge=1)
    heads: int | None = setting(None, "Attention heads per layer of a new model. Default: 4.", ge=1)
    objective: Literal["mlm", "electra"] = setting(
        "mlm", "`mlm`, masked language modelling; or `electra`, replaced token detection."
    )
    correction: CorrectionName = setting(
        "none",
        "Correction for reasonable predictions: `none`; `hard`, synonyms are left out of the loss; `soft`, "
        "embeddings of the gold and the predicted token are drawn together; `soft-sentence`, sentences with "
        "the predictions are drawn to the original; `hard+soft`.",
    )
    correction_weight: float = setting(1.0, "Weight of the `soft` and `soft-sentence` losses.", ge=0)
    synonyms: str | None = setting(
        None,
        "`wordnet`, or a file from `tellapart synonyms build`; corrections are then counted. Default: `wordnet` for "
        "`hard` corrections, else none.",
    )
    mask_share: float = setting(0.15, "Share of the tokens that are masked.", gt=0, lt=1)
    whole_words: bool = setting(False, "Mask all tokens of a word together.")
    discriminator_weight: float = setting(
        50.0, "For `electra`: weight of the discriminator's loss; the generator's is 1.", ge=0
    )
    predictions: Literal["sample", "argmax"] = setting(
        "sample", "For `electra`: the tokens that fill the masks, a `sample` or the `argmax`."
    )
    temperature: float = setting(1.0, "Temperature of the sample.", gt=0)
    loss_temperature: float = setting(
        1.0, "Softmax temperature of the masked tokens' cross entropy; above 1 it smooths the loss.", gt=0
    )
    max_length: int = setting(128, "Maximum sequence length in tokens.", ge=8)
    steps: int | None = setting(
        None, "Optimiser steps. Default: three passes over the texts.", ge=1, le=MAX_STEPS
    )
    batch_size: int = setting(32, "Sequences per batch on one process.", ge=1)
    batch_tokens: int | None = setting(
        None, "Tokens per batch, including padding, instead of `batch_size`.", ge=8
    )
    gradient_accumulation_steps: int = setting(
        1, "Batches whose gradients are accumulated before an optimiser step.", ge=1
    )
    learning_rate: float | None = setting(None, "Learning rate. Default: 5e-5; 5e-4 for a new model.", gt=0)
    warmup_share: float = setting(0.1, "Share of the steps with a rising learning rate.", ge=0, lt=1)
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", ge=0)
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "`auto` takes bf16 where the processor or GPU gains from it."
    )
    compile: bool = setting(False, "Compile the model with `torch.compile`.")
    workers: int = setting(0, "Processes that prepare batches.", ge=0, le=MAX_WORKERS)
    corpus_workers: int | None = setting(
        None,
        "Processes that tokenise text files of more than one shard. Default: one per core.",
        ge=1,
        le=MAX_WORKERS,
    )
    shard_mib: int = setting(256, "Maximum size of a shard of the tokenised corpus in MiB.", ge=1, le=4096)
    check_corpus: bool = setting(
        False, "With `--resume`, compare the checksums of the tokenised corpus before training."
    )
    save_every: int | None = setting(None, "Steps between checkpoints. Default: a tenth of the run.", ge=1)
    save_at: list[Annotated[float, Field(gt=0, le=1)]] | None = setting(
        None,
        "Instead of `save_every`: shares of the run after which to save a checkpoint, such as `[0.25, 0.5]`. The "
        "last one is always saved.",
    )
    keep_checkpoints: bool = setting(False, "Keep all checkpoints at the end of the run.")
    seed: int = setting(0, "Seed of all randomness.", ge=0, le=MAX_SEED)
    trainer: dict[str, Any] = setting(
        description="Any other option of `transformers.TrainingArguments`, none of the Hub or Trackio.",
        factory=dict,
    )

    def to_yaml(self) -> str:
        """Returns the recipe as YAML; runs of older versions stay valid, see `_LATER_KEYS`."""
        import yaml  # not needed for --help

        content = self.model_dump(mode="json")
        for key, changing_nothing in _LATER_KEYS.items():
            if content[key] == changing_nothing:
                del content[key]
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def step_at(self, share: float) -> int:
        """Returns the step nearest to a share of the run, at least 1; requires resolved `steps`.

        Args:
            share: Above 0, up to 1.
        """
        assert self.steps is not None
        return max(1, round(share * self.steps))


# Written only with another value: recipes are compared with those of interrupted runs and are part of fingerprints.
_LATER_KEYS = {"loss_temperature": 1.0, "corpus_workers": None, "shard_mib": 256, "check_corpus": False}

NEW_MODEL = ("family", "vocabulary_size", "lowercase", "hidden_size", "layers", "heads")
"""Keys that describe a new model."""


def validated_pretraining(content: Mapping[str, Any]) -> PretrainRecipe:
    """Validates a plain dict as a recipe.

    Raises:
        RecipeError: A key is unknown, a value is not allowed, or two values contradict each other.
    """
    recipe = validated_as(PretrainRecipe, content)
    if recipe.encoder != NEW:
        described = [name for name in NEW_MODEL if getattr(recipe, name) is not None]
        if described:
            raise RecipeError(
                f"{described[0]} applies to a new model, but the encoder is {recipe.encoder}",
                "leave it out, or use --encoder new",
            )
    elif (recipe.hidden_size or 256) % (recipe.heads or 4):
        raise RecipeError(
            f"the hidden size {recipe.hidden_size or 256} is not divisible by {recipe.heads or 4} heads",
            "choose a hidden_size that is a multiple of heads",
        )
    if recipe.save_every is not None and recipe.save_at is not None:
        raise RecipeError("save_every and save_at exclude each other", "leave out one of them")
    if recipe.objective == "electra" and recipe.family == "bert":
        raise RecipeError("the objective electra needs the family electra", "leave out --family")
    if recipe.generator is not None and (recipe.objective != "electra" or recipe.encoder == NEW):
        raise RecipeError(
            "generator applies only to existing ELECTRA encoders",
            "use --objective electra with an --encoder, or leave generator out",
        )
    return recipe


def load_pretraining_recipe(path: str | Path) -> PretrainRecipe:
    """Reads a recipe from YAML.

    Raises:
        RecipeError: The file is missing, not YAML, or not a valid recipe.
    """
    return validated_pretraining(read_mapping(path))


def with_pretraining_values(recipe: PretrainRecipe, assignments: Iterable[str]) -> PretrainRecipe:
    """Returns the recipe with changed values.

    Args:
        recipe: The recipe to change.
        assignments: `key=value` strings, such as `mask_share=0.3`; values are YAML. `trainer.<option>` sets an option
            of the trainer.

    Raises:
        RecipeError: A key is unknown, or a value is not allowed.
    """
    return validated_pretraining(assigned(recipe, assignments, example="mask_share=0.3"))
