"""Language models, loaded with their family's vocabulary head or made new, and that head at masked places only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
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
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import position_limit, readable
from tellapart.errors import ModelError

GENERATOR_FOLDER, MODEL_FOLDER = "generator", "model"


@dataclass(frozen=True)
class Loaded:
    """A language model and its tokeniser.

    Args:
        model: A Transformers model with a head over the vocabulary.
        tokenizer: Its tokeniser.
        notes: What the user should know about it.
    """

    model: Any
    tokenizer: Any
    notes: tuple[str, ...] = ()


class MaskedHead:
    """Runs a model's vocabulary head at chosen places only.

    Stock models compute logits at every place and then throw most of them away. Here the base model's output is
    replaced, on its way into the model's own head, by the chosen places: that works for the head of any family.

    Args:
        model: A model of the kind of `AutoModelForMaskedLM`. A hook stays on its base model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._positions: Tensor | None = None
        self._handle = model.base_model.register_forward_hook(self._gather)

    @property
    def tied(self) -> bool:
        """Whether the head's output layer is the table of the input embeddings."""
        output = self.model.get_output_embeddings()
        return output is not None and output.weight is self.model.get_input_embeddings().weight

    def _gather(self, module: nn.Module, args: Any, output: Any) -> BaseModelOutput | None:
        if self._positions is None:
            return None
        # Not by advanced indexing, whose backward takes much longer on a CPU.
        chosen = output[0].flatten(0, 1).index_select(0, self._positions)
        return BaseModelOutput(last_hidden_state=chosen[None])

    def __call__(self, positions: Tensor, **inputs: Tensor) -> Tensor:
        """Returns the logits (P, V).

        Args:
            positions: Places b·L + l of the inputs, (P,).
            inputs: What the model takes, each (B, L).
        """
        self._positions = positions
        try:
            return self.model(**inputs).logits.flatten(0, 1)  # a view, and so is its gradient
        finally:
            self._positions = None

    def remove(self) -> None:
        """Takes the hook off the model."""
        self._handle.remove()


def load_language_model(encoder: str) -> Loaded:
    """Loads an encoder under its family's vocabulary head.

    A checkpoint without the head, such as a sentence encoder or a classifier, gets a new one, whose output layer is
    tied to the embeddings. The weights are float32.

    Args:
        encoder: `minilm`, a folder, or a Hub name.

    Raises:
        ModelError: It cannot be read, has no vocabulary head, or no mask token.
    """
    return _loaded(encoder, _with_head)


def load_discriminator(encoder: str) -> Loaded:
    """Loads an ELECTRA encoder under the head that tells replaced tokens.

    Args:
        encoder: A folder or a Hub name.

    Raises:
        ModelError: It cannot be read, or is not of the ELECTRA family.
    """
    return _loaded(encoder, _with_discriminator_head)


def _loaded(encoder: str, load: Callable[[str, str], tuple[Any, set[str]]]) -> Loaded:
    path = resolve_encoder(encoder)
    tokenizer = load_tokenizer(encoder)
    with readable(encoder):
        model, missing = load(encoder, path)
    if tokenizer.mask_token_id is None:
        raise ModelError(f"the tokeniser of {encoder} has no mask token", "choose an encoder of BERT's kind")
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokeniser of {encoder} has {len(tokenizer)} tokens and its embeddings {rows}",
            "choose a checkpoint whose tokeniser is its own",
        )
    notes = []
    if missing:
        notes.append(f"{encoder} brings no head of {type(model).__name__}: it starts from a new one.")
    return Loaded(model, tokenizer, tuple(notes))


def _with_head(encoder: str, path: str) -> tuple[Any, set[str]]:
    config = _base_config(path)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) is a model without a head for masked tokens",
            "choose an encoder such as BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa or ModernBERT",
        )
    model, report = AutoModelForMaskedLM.from_pretrained(
        path, config=config, dtype=torch.float32, output_loading_info=True
    )
    if model.base_model is model:
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) does not part encoder and head",
            "choose an encoder such as BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa or ModernBERT",
        )
    return model, _outside_base(model, report["missing_keys"])


def _with_discriminator_head(encoder: str, path: str) -> tuple[Any, set[str]]:
    config = _base_config(path)
    if config.model_type != "electra":
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) is not of the ELECTRA family",
            "use --objective mlm, or an ELECTRA encoder",
        )
    model, report = ElectraForPreTraining.from_pretrained(
        path, config=config, dtype=torch.float32, output_loading_info=True
    )
    return model, _outside_base(model, report["missing_keys"])


def _base_config(path: str) -> Any:
    """The encoder's own config: a classifier's extra layer is not part of it."""
    config = AutoConfig.from_pretrained(path)
    config.num_hidden_layers = encoder_layers(config)
    vars(config).pop(CONFIG_KEY, None)
    return config


def _outside_base(model: Any, missing: set[str]) -> set[str]:
    inside = f"{model.base_model_prefix}."
    return {name for name in missing if not name.startswith(inside)}


def find_generator(encoder: str) -> str | None:
    """Returns the folder of the generator that a run wrote beside a discriminator, or None."""
    path = Path(resolve_encoder(encoder)).expanduser()
    beside = path.parent / GENERATOR_FOLDER
    return str(beside) if path.name == MODEL_FOLDER and (beside / "config.json").is_file() else None


def new_generator(config: ElectraConfig, share: float = 0.25) -> ElectraForMaskedLM:
    """Makes the generator that goes with a discriminator: as deep, and narrower (Clark et al. 2020, §3.2).

    Args:
        config: Of the discriminator.
        share: Width of hidden layers, feed-forward layers and heads against the discriminator's.
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
    """Makes a BERT with random weights.

    Args:
        vocabulary_size: Rows of the embedding table.
        max_length: Longest input in tokens: positions beyond it would never be learned.
        hidden_size: d; the feed-forward layers have 4·d.
        layers: Number of layers.
        heads: Attention heads a layer.
    """
    return BertForMaskedLM(BertConfig(**_shape(vocabulary_size, max_length, hidden_size, layers, heads)))


def new_discriminator(
    vocabulary_size: int, max_length: int, *, hidden_size: int, layers: int, heads: int
) -> ElectraForPreTraining:
    """Makes an ELECTRA discriminator with random weights; arguments as for `new_bert`.

    The embeddings have 128 dimensions up to a hidden size of 512, as in ELECTRA's small model, and the hidden size
    above, as in its base model.
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
    """Refuses sequences that the model has no positions for.

    Raises:
        ModelError: `max_length` is too large.
    """
    limit = position_limit(model.config)
    if max_length > limit:
        raise ModelError(
            f"max_length is {max_length} and the encoder {encoder} reads at most {limit} tokens",
            f"use --max-length {limit} or less",
        )
