"""Small classifiers that have learned nothing, and what becomes of them when they are exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.transformer import final_linear

LENGTH = 24


@pytest.fixture(scope="session")
def labels() -> LabelSpace:
    return LabelSpace(("expired", "lost", "stolen"))


@pytest.fixture(scope="session")
def classifier(tiny_encoder: str) -> Callable[[LabelSpace], Any]:
    """A tiny BERT whose logits are far apart."""

    def make(labels: LabelSpace) -> Any:
        torch.manual_seed(0)
        model = load_encoder(tiny_encoder, labels).eval()
        with torch.no_grad():
            final_linear(model).weight.mul_(20)
        return model

    return make


@pytest.fixture(scope="session")
def tokenizer(tiny_encoder: str) -> Any:
    return load_tokenizer(tiny_encoder)


@pytest.fixture(scope="session")
def rows(tickets: list[tuple[str, str]], tokenizer: Any) -> TokenisedDataset:
    """64 tickets; the last is one word."""
    texts = [text for text, _ in tickets[::3]]
    return tokenise(TextSplit([*texts[:-1], "lost"]), tokenizer, max_length=LENGTH)


@pytest.fixture(scope="session")
def exported(classifier, tokenizer, rows, labels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a single-label export, in float32 and int8."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from tellapart.deployment.export import export_onnx
    from tellapart.evaluation.decision import Decision

    folder = tmp_path_factory.mktemp("exported")
    export_onnx(
        classifier(labels),
        tokenizer,
        rows,
        folder,
        labels=labels,
        decision=Decision(temperature=2.0),
        max_length=LENGTH,
        quantization="int8",
    )
    return folder
