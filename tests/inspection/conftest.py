from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tellapart.evaluation.comparison import Comparison, Trial, build_comparison
from tellapart.evaluation.sweeps import SweepBaseline, SweepResult, SweepTrial, summary
from tellapart.recipes.spaces import SearchSpace

VOID = {"meta", "input"}
TOTAL = SearchSpace("stages.0.objective.total", values=(4, 8, 16, 32))
RATE = SearchSpace("stages.0.learning_rate", low=1e-5, high=1e-3, log=True)
POOLING = SearchSpace("encoder.pooling", values=("mean", "<script>alert(1)</script>"))


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


def _sweep(spaces, rows, baseline=(0.61, 0.74, 0.78), metric="accuracy") -> SweepResult:
    """Rows are (values, scores, state)."""
    held = SweepBaseline(**summary(dict(enumerate(baseline)), 1.0, 0.95), method="cross-entropy")
    return SweepResult(
        source="mails & <b>more</b>.csv",
        split_sizes={"train": 30, "validation": 20},
        encoder="minilm",
        method="auxiliary-labels",
        metric=metric,
        confidence=0.95,
        seeds=(0, 1),
        spaces=tuple(spaces),
        trials=tuple(
            SweepTrial(
                **summary(dict(enumerate(scores)), 2.0, 0.95),
                number=number,
                parameters=dict(zip((space.path for space in spaces), values, strict=True)),
                state=state,
                error="<i>too many</i>: take fewer." if state == "failed" else None,
            )
            for number, (values, scores, state) in enumerate(rows)
        ),
        baseline=held if baseline else None,
        environment={"torch": "2.13.0"},
    )


@pytest.fixture
def one_key() -> SweepResult:
    return _sweep(
        [TOTAL],
        [
            ((16,), (0.74, 0.78), "complete"),
            ((4,), (0.70, 0.71), "complete"),
            ((8,), (0.60,), "pruned"),
            ((32,), (), "failed"),
        ],
    )


@pytest.fixture
def several_keys() -> SweepResult:
    return _sweep(
        [RATE, POOLING],
        [
            ((1e-4, "mean"), (0.7, 0.8), "complete"),
            ((2e-5, POOLING.values[1]), (0.6, 0.7), "complete"),
            ((5e-4, "mean"), (0.9, 0.8), "complete"),
            ((6e-4, "mean"), (0.5,), "pruned"),
        ],
    )


@pytest.fixture
def sweep() -> Callable[..., SweepResult]:
    return _sweep


class Page(HTMLParser):
    """Collects tags, attributes and texts; fails on tags that are not closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def parsed() -> type[Page]:
    """Parses a page from its source."""
    return Page


@pytest.fixture
def visit(browser):
    """Opens a file; at the end nothing may have been printed, thrown or requested but the file itself."""
    contexts, complaints, requests = [], [], []

    def opened(file: Path, fragment: str = "", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url.split("#")[0]))
        page.goto(file.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in requests)
