"""The benchmark that times the parts of a comparison finds them, and counts each second once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark_module(benchmark_script) -> Any:
    return benchmark_script("comparison_overhead")


def test_every_part_is_where_it_is_looked_up(benchmark_module):
    for part, places in benchmark_module.PARTS.items():
        assert all(callable(getattr(owner, name, None)) for owner, name in places), part


def test_the_time_of_a_part_within_another_counts_once(benchmark_module, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(benchmark_module.time, "process_time", lambda: now[0])

    def work(seconds: float) -> None:
        now[0] += seconds

    clock = benchmark_module.Clock()
    inner = clock.timed(lambda: work(2), "inner")

    def outer() -> None:
        work(1)
        inner()
        work(4)

    clock.timed(outer, "outer")()
    work(8)
    with clock.part("last"):
        pass
    assert dict(clock.seconds) == {"the rest": 8, "inner": 2, "outer": 5, "last": 0}
