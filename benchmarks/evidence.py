"""What the generated pages are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def table(rows: list[list[str]]) -> str:
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def hardware(environment: dict[str, Any]) -> str:
    return (
        f"Measured on {environment['processor']}, {environment['cores']} cores, device {environment['device']}; "
        f"torch {environment['torch']}, transformers {environment['transformers']}, "
        f"Python {environment['python']}, tellapart {environment['tellapart']}."
    )
