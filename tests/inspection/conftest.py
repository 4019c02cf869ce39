from __future__ import annotations

import numpy as np
import pytest

from tellapart.evaluation.comparison import Comparison, Trial, build_comparison


@pytest.fixture
def comparison() -> Comparison:
    scores = {
        "cross-entropy": (0.70, 0.72, 0.74),
        "label-distance": (0.75, 0.76, 0.80),
        "broken": (None,) * 3,
    }
    return build_comparison(
        {
            method: [
                Trial(seed, score, {}, 10.0, None if score else "<b>diverged</b>")
                for seed, score in enumerate(row)
            ]
            for method, row in scores.items()
        },
        {
            "cross-entropy": [np.array([[5, 4], [3, 8]])],
            "label-distance": [np.array([[8, 1], [2, 9]])],
        },
        class_names=["<script>alert(1)</script>", "spam"],
        metric="accuracy",
        source="mails & more.csv",
        split_sizes={"train": 30, "test": 20},
        encoder="minilm",
        environment={"torch": "2.13.0"},
    )
