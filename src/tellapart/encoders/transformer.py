"""Helpers for Transformers sequence classifiers: head layers, representations, labels and saving."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.utils import logging as transformers_logging

from tellapart.data.examples import LabelSpace
from tellapart.encoders.pooling import PoolingName, folded, pooling_of
from tellapart.errors import ModelError
from tellapart.files import unreadable_file
from tellapart.moved import names_moved_from

# Config keys of the dropout rates in the heads of some families.
_HEAD_DROPOUT_KEYS = {
    "albert": ("classifier_dropout_prob",),
    "deberta": ("pooler_dropout", "cls_dropout"),
    "deberta-v2": ("pooler_dropout", "cls_dropout"),
    "distilbert": ("seq_classif_dropout",),
}


def save_classifier(model: Any, folder: str | Path, tokenizer: Any = None) -> None:
    """Writes a plain Transformers checkpoint: config, safetensors, tokeniser.

    Fused and windowed classifiers, for which no stock class exists, are written as they are.

    Args:
        model: A classifier in training form.
        folder: The checkpoint; the write is not atomic.
        tokenizer: Saved with the model if given.
    """
    with without_reports():
        folded(model).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def labels_of(model: Any) -> LabelSpace:
    """Returns the classes of a saved classifier, from its config; for regression its single output.

    As in Transformers, a single output without a problem type means regression.

    Raises:
        ModelError: The model is a regression with several outputs.
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
            f"the model predicts {len(names)} numbers per text", "use a model with a single output"
        )
    return LabelSpace(names, "regression")


def final_linear(model: Any) -> nn.Linear:
    """Returns the last linear layer with K outputs, whose input is the pooled vector in every family."""
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
    """Sets the dropout rate before the final linear layer, in the modules and in the config."""
    for module in head_dropouts(model):
        module.p = rate
    config = model.config
    usual = ("classifier_dropout",) if hasattr(config, "classifier_dropout") else ()
    for key in _HEAD_DROPOUT_KEYS.get(config.model_type, usual):
        setattr(config, key, rate)


def encoders_of(model: Any) -> list[Any]:
    """Returns the parts of a composed classifier, or a list of the classifier itself."""
    return list(getattr(model, "parts", [model]))


def pooling_in_use(model: Any) -> PoolingName | None:
    """Returns the pooling of a classifier in training form; None for a fused one whose parts differ.

    Parts differ only if no pooling was requested; loading with None gives each part the same pooling again.
    """
    found = {pooling_of(encoder.config) for encoder in encoders_of(model)}
    return found.pop() if len(found) == 1 else None


def has_dropout(model: Any) -> bool:
    """Returns whether the encoder has dropout, so that two training passes over one text differ."""
    return any(
        module.p > 0 for module in model.base_model.modules() if isinstance(module, nn.Dropout)
    ) or any(
        bool(getattr(encoder.config, name, 0))
        for encoder in encoders_of(model)
        for name in ("attention_probs_dropout_prob", "attention_dropout")
    )


class RepresentationTap:
    """Captures the representation v, the final linear layer's input before dropout, in a forward pass.

    Args:
        model: A sequence classifier, to which hooks are added until `remove`.
        waiting: Whether forward passes are ignored outside of `listening`.
    """

    def __init__(self, model: Any, *, waiting: bool = False) -> None:
        self._waiting, self._active = waiting, not waiting
        self._undropped: list[tuple[Tensor, Tensor]] = []
        self._seen: tuple[Tensor, Tensor] | None = None
        self._handles: list[RemovableHandle] = []
        self._attach(model)

    @classmethod
    def waiting(cls, model: Any) -> RepresentationTap:
        """Returns the waiting tap of a model, so that it has one however often it is trained."""
        hooks = [hook for module in model.modules() for hook in module._forward_pre_hooks.values()]
        for owner in (getattr(hook, "__self__", None) for hook in hooks):
            if isinstance(owner, cls) and owner._waiting:
                owner._attach(model)  # again: layers may have been replaced
                return owner
        return cls(model, waiting=True)

    def _attach(self, model: Any) -> None:
        self.remove()
        self._handles = [final_linear(model).register_forward_pre_hook(self._see)]
        self._handles += [module.register_forward_hook(self._undrop) for module in head_dropouts(model)]

    def _undrop(self, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if self._active:
            self._undropped.append((output, args[0]))

    def _see(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self._active:
            before = [source for output, source in self._undropped if output is args[0]]
            self._seen = (before[-1] if before else args[0], args[0])
            self._undropped.clear()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Captures the forward pass inside the block, which takes v; afterwards nothing of the pass is kept."""
        self._active = True
        try:
            yield
        finally:
            self._active, self._seen = not self._waiting, None
            self._undropped.clear()

    def take(self) -> Tensor:
        """Returns v (B, d) of the last forward pass, once."""
        return self.take_both()[0]

    def take_both(self) -> tuple[Tensor, Tensor]:
        """Returns v (B, d), and the final linear layer's input after dropout, once."""
        seen, self._seen = self._seen, None
        if seen is None:
            raise RuntimeError("no forward pass since the last take()")
        return seen

    def remove(self) -> None:
        """Removes the hooks from the model."""
        for handle in self._handles:
            handle.remove()


def two_tokens(config: Any, device: Any = None) -> Tensor:
    """Returns token ids (1, 2) for a trial pass; BART and others require the token that ends a text."""
    last = config.eos_token_id
    return torch.full((1, 2), last if isinstance(last, int) else 1, device=device)


def classifies_tokens(model: Any) -> bool:
    """Returns whether the final linear layer is applied to each token, as in decoders, and not to a vector per text.

    Found by a trial pass, since neither names of families nor of layers tell. Where it fails, the answer is no.
    """
    tap, training = RepresentationTap(model), model.training
    try:
        with torch.no_grad():
            model.eval()(input_ids=two_tokens(model.config))
        return tap.take().dim() > 2
    except Exception:  # of any kind; training meets it again
        return False
    finally:
        tap.remove()
        model.train(training)


def position_limit(config: Any) -> int:
    """Returns the maximum input length in tokens that all encoders support; 10⁹ without a limit."""
    if hasattr(config, "part_configs"):
        return min(position_limit(part) for part in config.part_configs())
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return int(1e9)
    # Position ids of RoBERTa and MPNet start after the padding id.
    shifted = config.model_type in ("roberta", "camembert", "xlm-roberta", "mpnet")
    offset = config.pad_token_id + 1 if shifted else 0
    return int(limit - offset)


def parameter_count(model: Any) -> int:
    """Returns the number of the base model's parameters without embeddings."""
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return sum(math.prod(p.shape) for p in model.base_model.parameters() if id(p) not in embeddings)


@contextlib.contextmanager
def readable(name: str, *, trained: bool = False) -> Iterator[None]:
    """Converts errors of the Hub and of broken files to a `ModelError`.

    Args:
        name: The model.
        trained: Whether it is a trained model, for which no other encoder can be taken.
    """
    try:
        with without_reports():
            yield
    except ModelError:
        raise
    except Exception as error:
        file = unreadable_file(name)  # safetensors calls such a file missing
        if file is not None:
            raise ModelError(
                f"there is no permission to read {file}", "change its permissions, such as chmod a+r"
            ) from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model {name} cannot be loaded ({first[:200]})",
            "check the name, or use a folder that tellapart or save_pretrained wrote"
            + ("" if trained else ", or --encoder minilm, which needs no network"),
        ) from error


@contextlib.contextmanager
def without_reports() -> Iterator[None]:
    """Temporarily silences Transformers' load reports and progress bars."""
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


__getattr__ = names_moved_from(__name__)
