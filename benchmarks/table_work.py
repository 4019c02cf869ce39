"""The work of every table that comes with tellapart, counted: nothing is run or fetched, and no time is measured.

    python benchmarks/table_work.py

Each table is planned as `tellapart reproduce TABLE --plan` plans it where nothing has been run, with the encoders
that it names and with MiniLM in place of every pre-trained one, there without the rows that only ELECTRA can have.
One trial that has been timed elsewhere is counted too, to hold the count against. Writes
benchmarks/results/table_work.json.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from evidence import RESULTS
from pairs import write
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.sizes import parameters_a_token
from tellapart.reproduction.protocols import Protocol, cell_pretraining, load_protocol, protocols
from tellapart.reproduction.table_plan import TablePlan, table_plan

TIMED = {"table": "few-shot", "row": "cross-entropy", "column": "trec6"}
"""A trial whose seconds stand in benchmarks/results/reproduce."""


def planned(table: str, **options: Any) -> TablePlan:
    """Plans a table where nothing has been run."""
    name, protocol = load_protocol(table)
    with tempfile.TemporaryDirectory() as nothing:
        return table_plan(name, protocol, Path(nothing) / name, **options)


def totals(plan: TablePlan) -> dict[str, Any]:
    """The sums of a plan, its pre-training by itself too."""
    total = plan.total
    return {
        "encoders": plan.encoders,
        "cells": total.to_run,
        "training_texts": total.training_texts,
        "scored_texts": total.scored_texts,
        "petaflop": round(total.petaflop, 3),
        "pretraining_petaflop": round(plan.pretraining.petaflop, 3) if plan.pretraining else 0.0,
        "uncounted": dict(total.uncounted),
    }


def with_minilm(table: str, protocol: Protocol) -> dict[str, Any] | None:
    """The sums with MiniLM for every pre-trained encoder; None where no row can have it."""
    pretraining = {row: cell_pretraining(protocol, row) for row in protocol.rows}
    rows = [row for row, its in pretraining.items() if its is None or its.objective != "electra"]
    if not rows:
        return None
    roles = {role: "minilm" for role, name in protocol.encoders.items() if name not in FROM_SCRATCH}
    return totals(planned(table, rows=rows, encoders=roles))


def table_work(tables: dict[str, Protocol]) -> dict[str, Any]:
    """Counts tables, with both kinds of encoders."""
    return {
        name: {"title": protocol.title, "named": totals(planned(name)), "minilm": with_minilm(name, protocol)}
        for name, protocol in tables.items()
    }


def main() -> None:
    os.environ.pop("TELLAPART_DATA", None)  # rows of one's own are not those that the registry counts
    one = planned(TIMED["table"], rows=[TIMED["row"]], columns=[TIMED["column"]], trials=1)
    result = {
        "minilm_parameters": parameters_a_token("minilm"),
        "timed": TIMED | {"petaflop": one.total.petaflop},
        "tables": table_work(protocols()),
    }
    write(RESULTS / "table_work.json", result)
    for name, its in result["tables"].items():
        print(f"{name}: {its['named']['petaflop']:,.3g} PFLOP")


if __name__ == "__main__":
    main()
