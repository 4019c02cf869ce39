"""What tellapart trains, a Python without tellapart serves: the same labels, the same probabilities."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PIPELINE = """
import json, sys
sys.modules["tellapart"] = None  # importing it is an error
from transformers import pipeline
model, rows = sys.argv[1], json.load(open(sys.argv[2]))
classify = pipeline("text-classification", model)
json.dump(classify(rows, top_k=None, truncation=True, batch_size=8), sys.stdout)
"""


def _served(model: Path, rows: list, folder: Path) -> list[dict[str, float]]:
    """The probabilities of all labels, from a process that cannot import tellapart."""
    (folder / "rows.json").write_text(json.dumps(rows))
    finished = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(model), str(folder / "rows.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [{entry["label"]: entry["score"] for entry in row} for row in json.loads(finished.stdout)]


@pytest.fixture(scope="module")
def table(tickets) -> pa.Table:
    texts, labels = zip(*tickets, strict=True)
    return pa.table(
        {
            "text": texts,
            "label": labels,
            "text_pair": [text.rsplit(" ", 1)[-1] for text in texts],
            "labels": [
                [label, "card"] if "debit" in text or "credit" in text else [label] for text, label in tickets
            ],
        }
    )


@pytest.mark.parametrize("task", ["single-label", "multi-label", "pairs"])
def test_a_pipeline_gives_the_same_labels_and_probabilities(command, tiny_encoder, table, tmp_path, task):
    columns = {
        "single-label": ["text", "label"],
        "multi-label": ["text", "labels"],
        "pairs": ["text", "text_pair", "label"],
    }[task]
    data = tmp_path / "data.parquet"
    pq.write_table(table.select(columns), data)
    run, output = tmp_path / "run", tmp_path / "predicted.parquet"
    command(
        *("train", data, "--encoder", tiny_encoder, "--epochs=8", "--learning-rate=0.005"),
        *("--max-length=9", "--quiet", "--output", run),  # some texts are longer and are cut
    )
    command("predict", run, data, "--output", output, "--precision", "fp32", "--quiet")
    predicted = pq.read_table(output).to_pylist()
    if task == "pairs":
        rows = [{"text": row["text"], "text_pair": row["text_pair"]} for row in predicted]
    else:
        rows = [row["text"] for row in predicted]
    served = _served(run / "model", rows, tmp_path)
    assert len({json.dumps(row["predicted_label"]) for row in predicted}) > 2
    for row, chances in zip(predicted, served, strict=True):
        if task == "multi-label":
            assert set(row["predicted_label"]) == {label for label, chance in chances.items() if chance > 0.5}
            expected = [chances[label] for label in row["predicted_label"]]
        else:
            assert row["predicted_label"] == max(chances, key=chances.__getitem__)
            expected = chances[row["predicted_label"]]
        np.testing.assert_allclose(row["probability"], expected, atol=1e-5)
