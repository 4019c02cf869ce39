"""Pre-training recipes: keys, defaults, validation and overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.reading import parsed_value, read_mapping

NEW = "new"
"""Value of `encoder` for a new model with random weights."""

CorrectionName = Literal["none", "hard", "soft", "soft-sentence", "hard+soft"]
Size = Annotated[int, Field(ge=1)]


class PretrainRecipe(BaseModel):
    """Settings of a pre-training run.

    Args:
        texts: A text file, a folder of text files, a table, a registered name, or a Hub name.
        text: The text column of a table; found by its name if not given.
        sequences: `lines`: each line or row is a sequence, longer ones are split. `documents`: each file or row is
            split into sequences of full length.
        encoder: `minilm`, a folder, a Hub name, or `new` for random weights.
        generator: Generator for `electra`; by default the one beside the encoder, else a new one.
        family: Model family of a new model; by default `bert` for `mlm`, `electra` for `electra`.
        vocabulary_size: Vocabulary size of a new model; 8000.
        lowercase: Whether a new model's tokeniser lowercases texts; true.
        hidden_size: Hidden size of a new model; 256.
        layers: Number of layers of a new model; 4.
        heads: Attention heads per layer of a new model; 4.
        objective: `mlm`, masked language modelling; or `electra`, replaced token detection.
        correction: Treatment of predictions that are synonyms: `none`; `hard`, excludes them from the loss; `soft`,
            pulls the embeddings of the gold and the predicted token together; `soft-sentence`, pulls the sentence
            with the predictions filled in towards the original; `hard+soft`.
        correction_weight: Weight of the terms that `soft` and `soft-sentence` add to the loss.
        synonyms: `wordnet`, or a file written by `tellapart synonyms build`; by default `wordnet` for hard
            correction, else none. With synonyms, corrections are counted.
        mask_share: Share of the tokens to mask.
        whole_words: Whether all tokens of a word are masked together.
        discriminator_weight: Weight of the discriminator's loss, for `electra`.
        predictions: Tokens that fill the masks, for `electra`: a `sample`, or the `argmax`.
        temperature: Temperature of the sample.
        max_length: Maximum length of a sequence in tokens.
        steps: Optimiser steps; by default three passes over the texts.
        batch_size: Sequences per batch and process.
        batch_tokens: Tokens per batch and process, padding included, in place of `batch_size`.
        gradient_accumulation_steps: Batches per optimiser step.
        learning_rate: Peak learning rate; by default 5e-5, or 5e-4 for a new model.
        warmup_share: Share of the steps with a rising learning rate.
        weight_decay: AdamW's weight decay.
        precision: `auto` uses bf16 if the processor or GPU supports it well.
        compile: Whether to compile the model with `torch.compile`.
        workers: Worker processes that prepare batches.
        save_every: Steps between checkpoints; by default a tenth of the run.
        save_at: Shares of the run, above 0 and up to 1, after which to save, in place of `save_every`.
        keep_checkpoints: Whether to keep all checkpoints after the run.
        seed: Seed of all randomness.
        trainer: Other options of `transformers.TrainingArguments`.
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
    correction: CorrectionName = "none"
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
        """Returns the recipe as YAML, with every key."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def step_at(self, share: float) -> int:
        """Returns the step nearest to a share of the run, at least 1; requires resolved `steps`.

        Args:
            share: Above 0, up to 1.
        """
        assert self.steps is not None
        return max(1, round(share * self.steps))


_NEW_MODEL = ("family", "vocabulary_size", "lowercase", "hidden_size", "layers", "heads")


def validated_pretraining(content: Mapping[str, Any]) -> PretrainRecipe:
    """Validates a plain dict as a recipe.

    Raises:
        RecipeError: A key is unknown, a value is not allowed, or two values contradict each other.
    """
    try:
        recipe = PretrainRecipe.model_validate(dict(content))
    except ValidationError as error:
        raise _explained(error) from None
    if recipe.encoder != NEW:
        described = [name for name in _NEW_MODEL if getattr(recipe, name) is not None]
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
    content = recipe.model_dump(exclude_unset=True)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path:
            raise RecipeError(f'"{assignment}" is not an assignment', "write --set mask_share=0.3")
        key, _, option = path.partition(".")
        if key == "trainer" and option:
            content["trainer"] = content.get("trainer", {}) | {option: parsed_value(value, path)}
        else:
            content[path] = parsed_value(value, path)
    return validated_pretraining(content)


def _explained(error: ValidationError) -> RecipeError:
    problem = error.errors()[0]
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return RecipeError(
            f'the recipe has an unknown key "{path}"' + did_you_mean(path, PretrainRecipe.model_fields),
            "choose from " + ", ".join(PretrainRecipe.model_fields),
        )
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return RecipeError(f"the recipe's {path} cannot be {problem['input']!r} ({message})", "correct the value")
