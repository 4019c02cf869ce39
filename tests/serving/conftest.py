"""A small model on disk, and services of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import torch
from fastapi.testclient import TestClient

from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.transformer import final_linear
from tellapart.evaluation.decision import Decision
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.serving.app import create_app
from tellapart.serving.model import load_model
from tellapart.serving.settings import ServeSettings

CLASSES = ("expired", "lost", "stolen")
OFTEN = 0.02  # seconds between two looks at the files

WriteModel = Callable[..., Path]


@pytest.fixture(scope="session")
def write_model(tiny_encoder: str) -> WriteModel:
    """Writes a run folder with a classifier that has learned nothing, whose logits are far apart."""

    def write(
        folder: Path,
        *,
        seed: int = 0,
        labels: LabelSpace = LabelSpace(CLASSES),  # noqa: B008
        decision: Decision = Decision(temperature=2.0),  # noqa: B008
    ) -> Path:
        torch.manual_seed(seed)
        model = load_encoder(tiny_encoder, labels).eval()
        with torch.no_grad():
            final_linear(model).weight.mul_(20)
        scorer = TransformersScorer(model, load_tokenizer(tiny_encoder), 24)
        Fitted(scorer, labels, decision=decision).save(folder / "model")
        report = {"method": "cross-entropy", "test": {"accuracy": 0.5 + seed / 100}}
        (folder / "metrics.json").write_text(json.dumps(report))
        return folder

    return write


@pytest.fixture(scope="session")
def run_folder(write_model: WriteModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("served") / "run")


@pytest.fixture
def client(run_folder: Path) -> Iterator[Callable[..., Any]]:
    """Starts a service in this process and returns its client."""
    with contextlib.ExitStack() as running:

        def start(model: Path = run_folder, **settings: Any) -> TestClient:
            chosen = ServeSettings(str(model), **settings)
            app = create_app(chosen, load_model(chosen.model, chosen.precision), OFTEN)
            return running.enter_context(TestClient(app, base_url="http://127.0.0.1:8000"))

        yield start
