"""Tables that measure something else than classifiers, on the tickets, with encoders that are pre-trained first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import table_request
from tellapart.reproduction.run import reproduce

QUICK = {"max_length": 32, "stride": 8, "epochs": 6, "learning_rate": 0.01}

_MET = """lose%2:40:02:: 1 95
misplace%2:40:00:: 1 3
"""


@pytest.fixture(scope="session")
def wordnet(tiny_wordnet, tmp_path_factory) -> Path:
    """The tiny WordNet with counts, by which lost and misplaced stand for each other."""
    folder = shutil.copytree(tiny_wordnet, tmp_path_factory.mktemp("met") / "dict")
    (folder / "cntlist.rev").write_text(_MET)
    return folder


@pytest.fixture(scope="session")
def notes(tickets, tmp_path_factory) -> Path:
    """The texts of the tickets, one a line."""
    path = tmp_path_factory.mktemp("texts") / "notes.txt"
    path.write_text("\n".join(text for text, _ in tickets))
    return path


@pytest.fixture(scope="session")
def pretraining(notes) -> dict[str, Any]:
    """A run of a second."""
    return {"texts": str(notes), "steps": 2, "batch_size": 8, "max_length": 24, "learning_rate": 0.001}


@pytest.fixture(scope="session")
def asked(squad_file, tmp_path_factory) -> tuple[Path, Path]:
    """Three quarters of the questions that have an answer to learn from, and the others to measure on."""
    content = json.loads(squad_file.read_text())
    answered = [one for one in content["data"][0]["paragraphs"] if one["qas"][0]["answers"]]
    for paragraph in answered:
        paragraph["qas"][0]["question"] = "what was lost 3 times?"
    folder = tmp_path_factory.mktemp("asked")
    for name, rows in (("train", [r for n, r in enumerate(answered) if n % 4]), ("dev", answered[::4])):
        (folder / f"{name}.json").write_text(json.dumps({"data": [{"title": "tickets", "paragraphs": rows}]}))
    return folder / "train.json", folder / "dev.json"


@pytest.fixture
def qa_table(asked, tiny_encoder, pretraining) -> dict[str, Any]:
    """A row whose encoder is pre-trained, and one without, on the questions."""
    return {
        "title": "Answers",
        "measures": "spans",
        "encoders": {"bert": tiny_encoder},
        "trials": 1,
        "settings": QUICK | {"train": str(asked[0])},
        "pretraining": pretraining,
        "columns": {
            "dev": {"name": "Dev", "source": str(asked[1]), "metrics": {"exact_match": "EM", "f1": "F1"}}
        },
        "rows": {
            "further": {"name": "Further", "pretraining": {"correction": "none"}},
            "plain": {"name": "Plain"},
        },
        "figures": {"further": {"dev": [75.5, 80.25]}},
    }


@pytest.fixture
def run():
    """Runs a table."""

    def run_table(table: dict[str, Any], output: Path, name: str = "mine", **options: Any) -> Any:
        how = {key: options.pop(key) for key in ("resume", "overwrite", "budget") if key in options}
        request = table_request(name, Protocol.model_validate(table), **options)
        return reproduce(request, output, quiet=True, **how)

    return run_table


@pytest.fixture
def figures():
    """Finds the figures of a cell by a metric."""

    def cell_figures(result: Any, column: str, row: str, metric: str) -> Any:
        return result.columns[column].metrics[metric][row]

    return cell_figures
