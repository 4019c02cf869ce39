"""A run on the tickets that takes a second."""

from __future__ import annotations

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
