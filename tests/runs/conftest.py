"""A run on the tickets that takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tellapart.recipes import Recipe, method_recipe, with_values


@pytest.fixture
def recipe(ticket_file, tiny_encoder) -> Recipe:
    settings = [
        f"data.source={ticket_file}",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=6",
        "stages.0.learning_rate=0.005",
    ]
    return with_values(method_recipe("cross-entropy"), settings)


@pytest.fixture(scope="session")
def span_run(squad_file, tiny_encoder, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """The folder and the metrics of a model that has learnt to answer the questions about the tickets."""
    from tellapart.runs.spans import train_spans

    folder = tmp_path_factory.mktemp("spans") / "run"
    quick = {"max_length": 32, "stride": 8, "epochs": 12, "learning_rate": 0.01, "quiet": True}
    return folder, train_spans(squad_file, folder, encoder=tiny_encoder, validation=squad_file, **quick)
