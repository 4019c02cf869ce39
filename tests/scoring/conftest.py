"""A classifier with random weights, which needs no training, and a folder of files of several formats."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tellapart.data.reading import streams
from tellapart.data.reading.tables import write_table


@pytest.fixture(scope="session")
def model(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier of three classes."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("classifier")
    AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are formed from 8 rows at a time, of files that are read as large ones are."""
    monkeypatch.setattr(streams, "STREAM_BYTES", 0)
    monkeypatch.setattr(streams, "ROWS_A_PART", 8)


@pytest.fixture(scope="session")
def rows(tickets: list[tuple[str, str]]) -> pa.Table:
    """60 rows with the columns id, text and label, all of them texts."""
    texts, labels = zip(*tickets[::3][:60], strict=True)
    return pa.table({"id": [f"n{number}" for number in range(60)], "text": texts, "label": labels})


FILES = {"a.csv": (0, 21), "b.jsonl.gz": (21, 5), "c.parquet": (26, 24), "d.tsv": (50, 10)}


@pytest.fixture
def folder(rows: pa.Table, tmp_path: Path) -> Path:
    """The rows in four files, beside two that are none of them."""
    place = tmp_path / "new"
    for name, (start, count) in FILES.items():
        write_table(rows.slice(start, count), place / name)
    (place / ".hidden.csv").write_text("text\nx\n")
    (place / "README.md").write_text("About the files.")
    return place
