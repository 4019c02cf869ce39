"""The description of a pre-training run: its keys, their defaults, and how it is read and changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tellapart.errors import RecipeError
from tellapart.recipes.reading import assigned, read_mapping, validated_as

NEW = "new"
"""The encoder that is made from nothing."""

Size = Annotated[int, Field(ge=1)]


class PretrainRecipe(BaseModel):
    """A pre-training run.

    Args:
        texts: A text file, a folder of them, a table, a registered name, or a Hub name.
        text: The column of the texts, for a table; found by its name when not given.
        sequences: `lines`: each line, or row, is a sequence, a longer one is cut. `documents`: each file, or row, is
            cut into sequences of full length.
        encoder: `minilm`, a folder, a Hub name, or `new` to start from nothing.
        generator: With `electra`: the generator that goes with the encoder; by default the one beside it, else new.
        family: Of a new model; by default `bert` for `mlm`, `electra` for `electra`.
        vocabulary_size: Of a new model's tokeniser; 8000.
        lowercase: Whether a new model's tokeniser takes capitals for small letters; true.
        hidden_size: Of a new model; 256.
        layers: Of a new model; 4.
        heads: Attention heads a layer of a new model; 4.
        objective: `mlm`, masked language modelling; or `electra`, replaced token detection.
        correction: What is done about reasonable predictions: `none`; `hard`, synonyms leave the loss; `soft`, the
            embeddings of the gold and the predicted token are drawn together; `soft-sentence`, the sentence with the
            predictions filled in is drawn to the original; `hard+soft`.
        correction_weight: Of what `soft` and `soft-sentence` add to the loss.
        synonyms: `wordnet`, or a file that `tellapart synonyms build` wrote; by default `wordnet` where correction
            is hard, and none elsewhere. With synonyms, corrections are counted.
        mask_share: Of the tokens.
        whole_words: Whether all tokens of a word are masked together.
        discriminator_weight: Of its loss, with `electra`.
        predictions: What fills the masks, with `electra`: a `sample`, or the `argmax`.
        temperature: Of the sample.
        max_length: Longest sequence in tokens.
        steps: Optimiser steps; by default three passes over the texts.
        batch_size: Sequences a batch on one process.
        batch_tokens: Tokens a batch, padding included, in place of `batch_size`.
        gradient_accumulation_steps: Batches whose gradients are added up before a step.
        learning_rate: By default 5e-5, and 5e-4 for a new model.
        warmup_share: Share of the steps in which the rate rises.
        weight_decay: AdamW's.
        precision: `auto` takes bf16 where the processor or GPU gains from it.
        compile: Whether to compile the model with `torch.compile`.
        workers: Processes that prepare batches.
        save_every: Steps between checkpoints; by default a tenth of the run.
        save_at: In place of `save_every`: shares of the run, above 0 and up to 1, after which to save one.
        keep_checkpoints: Whether all checkpoints stay when the run has ended.
        seed: Of everything random.
        trainer: Any other option of `transformers.TrainingArguments`.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    texts: str | None = None
    text: str | None = None
    sequences: Literal["lines", "documents"] = "lines"
    encoder: str = "minilm"
    generator: str | None = None
    family: Literal["bert", "electra"] | None = None
    vocabulary_size: Annotated[int, Field(ge=100)] | None = None
    lowercase: bool | None = None
    hidden_size: Size | None = None
    layers: Size | None = None
    heads: Size | None = None
    objective: Literal["mlm", "electra"] = "mlm"
    correction: Literal["none", "hard", "soft", "soft-sentence", "hard+soft"] = "none"
    correction_weight: Annotated[float, Field(ge=0)] = 1.0
    synonyms: str | None = None
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    whole_words: bool = False
    discriminator_weight: Annotated[float, Field(ge=0)] = 50.0
    predictions: Literal["sample", "argmax"] = "sample"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_length: Annotated[int, Field(ge=8)] = 128
    steps: Size | None = None
    batch_size: Size = 32
    batch_tokens: Annotated[int, Field(ge=8)] | None = None
    gradient_accumulation_steps: Size = 1
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    workers: Annotated[int, Field(ge=0)] = 0
    save_every: Size | None = None
    save_at: list[Annotated[float, Field(gt=0, le=1)]] | None = None
    keep_checkpoints: bool = False
    seed: int = 0
    trainer: dict[str, Any] = {}

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, every key written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def step_at(self, share: float) -> int:
        """Returns the step after which a share of the run is done, the nearest, and at least the first.

        Args:
            share: Above 0, up to 1. The number of steps must have been decided.
        """
        assert self.steps is not None
        return max(1, round(share * self.steps))


_NEW_MODEL = ("family", "vocabulary_size", "lowercase", "hidden_size", "layers", "heads")


def validated_pretraining(content: Mapping[str, Any]) -> PretrainRecipe:
    """Turns a plain dict into a recipe.

    Raises:
        RecipeError: A key is unknown (with the closest known one), a value is not allowed, or two contradict.
    """
    recipe = validated_as(PretrainRecipe, content)
    if recipe.encoder != NEW:
        described = [name for name in _NEW_MODEL if getattr(recipe, name) is not None]
        if described:
            raise RecipeError(
                f"{described[0]} describes a new model, and the encoder is {recipe.encoder}",
                "leave it out, or use --encoder new",
            )
    elif (recipe.hidden_size or 256) % (recipe.heads or 4):
        raise RecipeError(
            f"a hidden size of {recipe.hidden_size or 256} cannot be shared by {recipe.heads or 4} heads",
            "choose a hidden_size that is a multiple of heads",
        )
    if recipe.save_every is not None and recipe.save_at is not None:
        raise RecipeError("both save_every and save_at say when to save", "leave out one of them")
    if recipe.objective == "electra" and recipe.family == "bert":
        raise RecipeError("the objective electra needs the family electra", "leave out --family")
    if recipe.generator is not None and (recipe.objective != "electra" or recipe.encoder == NEW):
        raise RecipeError(
            "a generator goes with an ELECTRA encoder that is trained further",
            "use --objective electra with an --encoder, or leave generator out",
        )
    return recipe


def load_pretraining_recipe(path: str | Path) -> PretrainRecipe:
    """Reads a recipe from YAML.

    Raises:
        RecipeError: The file is missing, no YAML, or has a key or value that no recipe has.
    """
    return validated_pretraining(read_mapping(path))


def with_pretraining_values(recipe: PretrainRecipe, assignments: Iterable[str]) -> PretrainRecipe:
    """Returns the recipe with values changed.

    Args:
        recipe: Where to start from.
        assignments: `key=value` strings, such as `mask_share=0.3`; values are YAML. `trainer.<option>` sets one of
            the trainer's.

    Raises:
        RecipeError: There is no such key, or the value is not allowed.
    """
    return validated_pretraining(assigned(recipe, assignments, example="mask_share=0.3"))
