"""Loads or creates language models, and runs their vocabulary head at masked positions only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)
from transformers.modeling_outputs import BaseModelOutput

from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.pooling import CONFIG_KEY, encoder_layers
from tellapart.encoders.pretrained import read_config, read_model
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import position_limit, readable, without_reports
from tellapart.errors import ModelError
from tellapart.files import replacing

GENERATOR_FOLDER, MODEL_FOLDER = "generator", "model"


@dataclass(frozen=True)
class Loaded:
    """A language model with its head, its tokeniser, and remarks for the user."""

    model: Any
    tokenizer: Any
    notes: tuple[str, ...] = ()


class MaskedHead:
    """Runs a model's vocabulary head at given positions only.

    Stock models compute logits at every position and ignore most of them. Here a hook reduces the base model's output
    to the given positions before the model's own head, which works for every model family.

    Args:
        model: An `AutoModelForMaskedLM`. The hook stays on its base model until `remove`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._positions: Tensor | None = None
        self._handle = model.base_model.register_forward_hook(self._gather)

    @property
    def tied(self) -> bool:
        """Whether the output layer shares the weights of the input embeddings."""
        output = self.model.get_output_embeddings()
        return output is not None and output.weight is self.model.get_input_embeddings().weight

    def _gather(self, module: nn.Module, args: Any, output: Any) -> BaseModelOutput | None:
        if self._positions is None:
            return None
        # Advanced indexing has a much slower backward pass on CPUs.
        chosen = output[0].flatten(0, 1).index_select(0, self._positions)
        return BaseModelOutput(last_hidden_state=chosen[None])

    def __call__(self, positions: Tensor, **inputs: Tensor) -> Tensor:
        """Returns the logits (P, V).

        Args:
            positions: Flat positions b·L + l, (P,).
            inputs: The model's inputs, each (B, L).
        """
        self._positions = positions
        try:
            return self.model(**inputs).logits.flatten(0, 1)  # a view, and so is its gradient
        finally:
            self._positions = None

    def remove(self) -> None:
        """Removes the hook from the model."""
        self._handle.remove()


def load_language_model(encoder: str) -> Loaded:
    """Loads an encoder in float32 with its family's vocabulary head.

    Checkpoints without the head, such as sentence encoders or classifiers, get a new one with its output layer tied
    to the embeddings.

    Args:
        encoder: `minilm`, a folder, or a Hub name.

    Raises:
        ModelError: It cannot be read, has no vocabulary head, or no mask token.
    """
    return _loaded(encoder, AutoModelForMaskedLM)


def load_discriminator(encoder: str) -> Loaded:
    """Loads an ELECTRA encoder, a folder or a Hub name, with the head for replaced token detection.

    Raises:
        ModelError: It cannot be read, or is not of the ELECTRA family.
    """
    return _loaded(encoder, ElectraForPreTraining)


def _loaded(encoder: str, kind: Any) -> Loaded:
    path = resolve_encoder(encoder)
    tokenizer = load_tokenizer(encoder)
    with readable(encoder):
        config = read_config(path)
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)  # of checkpoints of classifiers, which have a layer more
        described = f"the encoder {encoder} ({config.model_type})"
        other = "choose an encoder such as BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa or ModernBERT"
        if kind is ElectraForPreTraining:
            if config.model_type != "electra":
                raise ModelError(
                    f"{described} is not of the ELECTRA family", "use --objective mlm, or an ELECTRA encoder"
                )
        elif type(config) not in MODEL_FOR_MASKED_LM_MAPPING or getattr(config, "is_encoder_decoder", False):
            raise ModelError(f"{described} has no masked language modelling head", other)
        model, report = read_model(kind, path, config=config, output_loading_info=True)
        if model.base_model is model:
            raise ModelError(f"{described} does not separate encoder and head", other)
    if tokenizer.mask_token_id is None:
        raise ModelError(f"the tokeniser of {encoder} has no mask token", "choose an encoder such as BERT")
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokeniser of {encoder} has {len(tokenizer)} tokens, but its embedding layer only {rows}",
            "choose a checkpoint with a matching tokeniser",
        )
    inside = f"{model.base_model_prefix}."
    if all(name.startswith(inside) for name in report["missing_keys"]):
        return Loaded(model, tokenizer)
    note = f"{encoder} has no head for {type(model).__name__}: a new one is initialised."
    return Loaded(model, tokenizer, (note,))


def find_generator(encoder: str) -> str | None:
    """Returns the folder of the generator beside a discriminator, or None."""
    path = Path(resolve_encoder(encoder)).expanduser()
    beside = path.parent / GENERATOR_FOLDER
    return str(beside) if path.name == MODEL_FOLDER and (beside / "config.json").is_file() else None


def new_generator(config: ElectraConfig, share: float = 0.25) -> ElectraForMaskedLM:
    """Creates a generator for a discriminator: as deep, but narrower (Clark et al. 2020, §3.2).

    Args:
        config: The discriminator's config.
        share: Ratio of hidden size, feed-forward size and number of heads to the discriminator's.
    """
    heads = max(1, round(config.num_attention_heads * share))
    width = max(1, round(config.hidden_size * share / heads)) * heads
    changes = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": max(1, round(config.intermediate_size * share)),
        "architectures": None,
    }
    return ElectraForMaskedLM(ElectraConfig(**{**config.to_dict(), **changes}))


def new_bert(
    vocabulary_size: int, max_length: int, *, hidden_size: int, layers: int, heads: int
) -> BertForMaskedLM:
    """Creates a BERT with random weights and `max_length` positions; its feed-forward layers have 4·d units."""
    return BertForMaskedLM(BertConfig(**_shape(vocabulary_size, max_length, hidden_size, layers, heads)))


def new_discriminator(
    vocabulary_size: int, max_length: int, *, hidden_size: int, layers: int, heads: int
) -> ElectraForPreTraining:
    """Creates an ELECTRA discriminator with random weights; arguments as for `new_bert`.

    Embeddings have at most 128 dimensions up to a hidden size of 512 (ELECTRA small), else the hidden size (base).
    """
    shape = _shape(vocabulary_size, max_length, hidden_size, layers, heads)
    embedding_size = min(128, hidden_size) if hidden_size <= 512 else hidden_size
    return ElectraForPreTraining(ElectraConfig(**shape, embedding_size=embedding_size))


def _shape(
    vocabulary_size: int, max_length: int, hidden_size: int, layers: int, heads: int
) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden_size,
        "max_position_embeddings": max_length,
        "pad_token_id": 0,
    }


def check_length(model: Any, encoder: str, max_length: int) -> None:
    """Checks that the model has enough positions."""
    limit = position_limit(model.config)
    if max_length > limit:
        raise ModelError(
            f"max_length is {max_length}, but the encoder {encoder} reads at most {limit} tokens",
            f"use --max-length {limit} or less",
        )


def save_checkpoint(model: Any, folder: Path, tokenizer: Any) -> None:
    """Writes a plain Transformers checkpoint atomically."""
    with replacing(folder) as temporary, without_reports():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def load_weights(model: Any, folder: Path) -> None:
    """Loads the weights of a plain checkpoint into a model of the same shape."""
    with without_reports():
        loaded = read_model(type(model), resolve_encoder(str(folder)))
    model.load_state_dict(loaded.state_dict())
