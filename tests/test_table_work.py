"""The committed work of the tables is what the count gives now."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tellapart.reproduction.protocols import load_protocol

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def _loaded(name):
    # As when the script is run: its neighbours can be imported.
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("table", ["clld-table3", "true-negatives-table6"])
def test_the_committed_work_is_what_the_count_gives(table, monkeypatch):
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    committed = json.loads((BENCHMARKS / "results" / "table_work.json").read_text(encoding="utf-8"))
    counted = _loaded("table_work").table_work({table: load_protocol(table)[1]})
    assert committed["tables"][table] == counted[table], "run python benchmarks/table_work.py"


def test_hours_are_the_work_divided_by_the_rate():
    pages = _loaded("work_pages")
    named = {"cells": 1200, "petaflop": 3600.0}
    row = pages._row("some", {"named": named, "minilm": {"cells": 900, "petaflop": 3.6}}, 1e12)
    assert row == ["some", "1,200", "3,600", "10", "3.6 (900 cells)", "1"]
    speed = {"arms": {"tellapart": [{"texts_per_second": 50.0}]}, "command": {"max_length": 128}}
    assert pages._measured_rate(speed, 10) == 50 * 6 * 10 * 128
