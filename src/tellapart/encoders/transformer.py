"""Transformers sequence classifiers: loaded with a fresh head, tapped for their representation, saved plain."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from tellapart.data.examples import LabelSpace
from tellapart.encoders import han, textcnn  # noqa: F401  known to the Auto classes from here on
from tellapart.encoders.fused_tokenizer import TOKENIZER_FILE, FusedTokenizer
from tellapart.encoders.pooling import (
    CONFIG_KEY,
    PoolingName,
    default_pooling,
    encoder_layers,
    folded,
    pooling_of,
    set_pooling,
    unfolded,
)
from tellapart.encoders.resolve import resolve_encoder
from tellapart.errors import ModelError

TOKEN_TYPES = "token_type_ids"

# What families call the rates of the dropout in their heads.
_HEAD_DROPOUT_KEYS = {
    "albert": ("classifier_dropout_prob",),
    "deberta": ("pooler_dropout", "cls_dropout"),
    "deberta-v2": ("pooler_dropout", "cls_dropout"),
    "distilbert": ("seq_classif_dropout",),
}


def load_tokenizer(encoder: str) -> Any:
    """Loads an encoder's tokeniser; a `FusedTokenizer` from the folder of a fused encoder.

    It gives token types exactly where the encoder reads several, also where the tokeniser's class does otherwise
    (ALBERT's leaves them out, and the two texts of a pair would be one). That is saved with it.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        if (Path(path) / TOKENIZER_FILE).is_file():
            return FusedTokenizer.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        names = [name for name in tokenizer.model_input_names if name != TOKEN_TYPES]
        reads = _reads_token_types(AutoConfig.from_pretrained(path))
        if reads is None or reads == (TOKEN_TYPES in tokenizer.model_input_names):
            return tokenizer
        return AutoTokenizer.from_pretrained(path, model_input_names=names + [TOKEN_TYPES] * reads)


def _reads_token_types(config: Any) -> bool | None:
    """Whether a model tells the texts of a pair apart by token types; None where its config and class don't say."""
    types = getattr(config, "type_vocab_size", None)
    if types is not None:
        return types > 1
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    has_none = kind is not None and TOKEN_TYPES not in inspect.signature(kind.forward).parameters
    return False if has_none else None


def load_encoder(
    encoder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> Any:
    """Loads a pre-trained encoder under a fresh classifier.

    Everything outside the base model is new, also when the checkpoint was a classifier already: a head of
    other classes must never linger. The weights are float32.

    Args:
        encoder: `minilm`, a folder, or a Hub name.
        labels: The classes; names and problem type are written into the config before training.
        pooling: `mean`, `cls` or `stock`; by default `mean` where a plain checkpoint can hold it.
        classifier_dropout: The rate before the final linear layer; by default the checkpoint's own.

    Returns:
        A Transformers sequence classifier in training form (see `tellapart.encoders.pooling`); a fused one (see
        `tellapart.encoders.fused`) from a fused one's folder, and so a windowed one (`tellapart.encoders.windowed`).

    Raises:
        ModelError: The encoder cannot be read or has no sequence classification head.
    """
    composed, path = _composed(), resolve_encoder(encoder)
    with readable(encoder):
        config = AutoConfig.from_pretrained(path)
        if config.model_type in composed:
            return composed[config.model_type].with_fresh_classifier(
                path, labels, pooling=pooling, classifier_dropout=classifier_dropout
            )
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)
        base = AutoModel.from_pretrained(path, config=config, dtype=torch.float32)
    config.id2label, config.label2id = labels.id2label, labels.label2id
    config.problem_type = labels.problem_type
    try:
        model = AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) has no sequence classification head",
            "choose an encoder such as BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa or ModernBERT",
        ) from None
    model.base_model.load_state_dict(base.state_dict(), strict=False)
    set_pooling(model, pooling or default_pooling(config.model_type))
    if classifier_dropout is not None:
        set_classifier_dropout(model, classifier_dropout)
    return model


def load_classifier(folder: str | Path) -> tuple[Any, Any]:
    """Loads a trained classifier and its tokeniser for scoring, without a fold's extra layer.

    Args:
        folder: What `save_classifier`, `tellapart train` or `save_pretrained` wrote.

    Returns:
        Both; None for the tokeniser where a fused classifier was saved without one.

    Raises:
        ModelError: The folder holds no sequence classifier.
    """
    path = resolve_encoder(str(folder))
    _composed()
    with readable(str(folder)):
        config = AutoConfig.from_pretrained(path)
        architectures = config.architectures or []
        if not any(name.endswith("ForSequenceClassification") for name in architectures):
            raise ModelError(
                f"{folder} holds {', '.join(architectures) or 'a model without a head'}, not a classifier",
                "train one: tellapart train DATA --encoder " + str(folder),
            )
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
        if hasattr(config, "part_configs"):
            has_tokenizer = (Path(path) / TOKENIZER_FILE).is_file()
            return model.eval(), FusedTokenizer.from_pretrained(path) if has_tokenizer else None
        return unfolded(model).eval(), AutoTokenizer.from_pretrained(path)


def save_classifier(model: Any, folder: str | Path, tokenizer: Any = None) -> None:
    """Writes a plain Transformers checkpoint: config, safetensors, tokeniser.

    A fused or a windowed classifier, for which there is no stock class, is written as it is.

    Args:
        model: A classifier in training form.
        folder: Where to write; the caller makes the write atomic where that matters.
        tokenizer: Saved beside it when given.
    """
    with without_reports():
        folded(model).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def labels_of(model: Any) -> LabelSpace:
    """Returns the classes of a saved classifier, from its config; or the one output of a model that predicts numbers.

    As in Transformers, a single output without a problem type is a number.

    Raises:
        ModelError: It predicts several numbers a text.
    """
    config = model.config
    names = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    if config.problem_type == "multi_label_classification":
        return LabelSpace(names, "multi_label_classification")
    if config.problem_type == "single_label_classification" or (
        config.problem_type is None and len(names) > 1
    ):
        return LabelSpace(names)
    if len(names) > 1:
        raise ModelError(
            f"the model predicts {len(names)} numbers for each text", "give one that predicts a single one"
        )
    return LabelSpace(names, "regression")


def final_linear(model: Any) -> nn.Linear:
    """Returns the last linear layer with K outputs: its input is the pooled vector in every family."""
    found = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels
    ]
    if not found:
        raise ModelError(
            f"{type(model).__name__} has no linear layer with {model.config.num_labels} outputs",
            "use a model made by AutoModelForSequenceClassification",
        )
    return found[-1]


def head_dropouts(model: Any) -> list[nn.Dropout]:
    """Returns the dropout modules outside the base model."""
    inside = {id(module) for module in model.base_model.modules()}
    return [
        module for module in model.modules() if isinstance(module, nn.Dropout) and id(module) not in inside
    ]


def set_classifier_dropout(model: Any, rate: float) -> None:
    """Sets the dropout before the final linear layer, in the modules and, by the name it has there, the config."""
    for module in head_dropouts(model):
        module.p = rate
    config = model.config
    usual = ("classifier_dropout",) if hasattr(config, "classifier_dropout") else ()
    for key in _HEAD_DROPOUT_KEYS.get(config.model_type, usual):
        setattr(config, key, rate)


def encoders_of(model: Any) -> list[Any]:
    """Returns the Transformers models whose encoders a classifier reads: what it is made of, or itself."""
    return list(getattr(model, "parts", [model]))


def pooling_in_use(model: Any) -> PoolingName | None:
    """Returns how a classifier in training form pools; None for a fused one whose parts do it in different ways.

    They do only if no pooling was asked for: loaded again with None, each part gets the same one.
    """
    found = {pooling_of(encoder.config) for encoder in encoders_of(model)}
    return found.pop() if len(found) == 1 else None


def has_dropout(model: Any) -> bool:
    """Whether two passes over one text in training can differ."""
    return any(
        module.p > 0 for module in model.base_model.modules() if isinstance(module, nn.Dropout)
    ) or any(
        bool(getattr(encoder.config, name, 0))
        for encoder in encoders_of(model)
        for name in ("attention_probs_dropout_prob", "attention_dropout")
    )


class RepresentationTap:
    """Reads v, the vector that the final linear layer sees, before its dropout, from a forward pass.

    Args:
        model: A sequence classifier. Hooks stay on it until `remove`.
    """

    def __init__(self, model: Any) -> None:
        self._undropped: list[tuple[Tensor, Tensor]] = []
        self._seen: tuple[Tensor, Tensor] | None = None
        self._handles = [final_linear(model).register_forward_pre_hook(self._see)]
        self._handles += [module.register_forward_hook(self._undrop) for module in head_dropouts(model)]

    def _undrop(self, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        self._undropped.append((output, args[0]))

    def _see(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        before = [source for output, source in self._undropped if output is args[0]]
        self._seen = (before[-1] if before else args[0], args[0])
        self._undropped.clear()

    def take(self) -> Tensor:
        """Returns v (B, d) of the last forward pass and forgets it."""
        return self.take_both()[0]

    def take_both(self) -> tuple[Tensor, Tensor]:
        """Returns v (B, d), and v as the final linear layer saw it, after its dropout; forgets both."""
        seen, self._seen = self._seen, None
        if seen is None:
            raise RuntimeError("no forward pass since the last take()")
        return seen

    def remove(self) -> None:
        """Takes the hooks off the model."""
        for handle in self._handles:
            handle.remove()


def position_limit(config: Any) -> int:
    """Returns the longest input in tokens that all encoders take, or a very large number when there is no limit."""
    if hasattr(config, "part_configs"):
        return min(position_limit(part) for part in config.part_configs())
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return int(1e9)
    # RoBERTa's positions start after the padding id.
    offset = config.pad_token_id + 1 if config.model_type in ("roberta", "camembert", "xlm-roberta") else 0
    return int(limit - offset)


def parameter_count(model: Any) -> int:
    """Returns the number of the base model's parameters without embeddings, which is what sets a good rate."""
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return sum(math.prod(p.shape) for p in model.base_model.parameters() if id(p) not in embeddings)


def _composed() -> dict[str, Any]:
    """The modules of classifiers made of others, by model type; importing them makes their classes known.

    They build on this one, and so are imported late.
    """
    from tellapart.encoders import fused, windowed

    return {
        fused.FusedConfig.model_type: fused,
        windowed.WindowedConfig.model_type: windowed,
    }


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turns what the Hub and broken files raise into one sentence."""
    try:
        with without_reports():
            yield
    except ModelError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model {name} cannot be loaded ({first[:200]})",
            "check the name, use a folder that save_pretrained wrote, or --encoder minilm, which needs no network",
        ) from error


@contextlib.contextmanager
def without_reports() -> Iterator[None]:
    """No load reports and no bars for single files."""
    verbosity = transformers_logging.get_verbosity()
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()
