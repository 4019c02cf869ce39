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
served = {}
for model, rows in json.load(open(sys.argv[1])).items():
    classify = pipeline("text-classification", model)
    served[model] = classify(rows, top_k=None, truncation=True, batch_size=8)
json.dump(served, sys.stdout)
"""


def _served(rows: dict[str, list], folder: Path) -> dict[str, list[dict[str, float]]]:
    """The probabilities of all labels for the rows of each model, from a process that cannot import tellapart."""
    (folder / "rows.json").write_text(json.dumps(rows))
    finished = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(folder / "rows.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    served = json.loads(finished.stdout)
    return {
        model: [{entry["label"]: entry["score"] for entry in row} for row in answers]
        for model, answers in served.items()
    }


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


TASKS = {
    "single-label": ["text", "label"],
    "multi-label": ["text", "labels"],
    "pairs": ["text", "text_pair", "label"],
}


@pytest.fixture(scope="module")
def answers(command, tiny_encoder, table, tmp_path_factory) -> dict[str, tuple[list[dict], list[dict]]]:
    """For each task the rows that `predict` wrote, and the probabilities of a pipeline."""
    folder = tmp_path_factory.mktemp("served")
    predicted, rows = {}, {}
    for task, columns in TASKS.items():
        data, run, output = (folder / f"{task}{end}" for end in (".parquet", "", "-predicted.parquet"))
        pq.write_table(table.select(columns), data)
        command(
            *("train", data, "--encoder", tiny_encoder, "--epochs=8", "--learning-rate=0.005"),
            *("--max-length=9", "--quiet", "--output", run),  # some texts are longer and are cut
        )
        command("predict", run, data, "--output", output, "--precision", "fp32", "--quiet")
        predicted[task] = pq.read_table(output).to_pylist()
        rows[str(run / "model")] = [
            {"text": row["text"], "text_pair": row["text_pair"]} if task == "pairs" else row["text"]
            for row in predicted[task]
        ]
    served = _served(rows, folder)
    return {task: (predicted[task], served[str(folder / task / "model")]) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_a_pipeline_gives_the_same_labels_and_probabilities(answers, task):
    predicted, served = answers[task]
    assert len({json.dumps(row["predicted_label"]) for row in predicted}) > 2
    for row, chances in zip(predicted, served, strict=True):
        if task == "multi-label":
            assert set(row["predicted_label"]) == {label for label, chance in chances.items() if chance > 0.5}
            expected = [chances[label] for label in row["predicted_label"]]
        else:
            assert row["predicted_label"] == max(chances, key=chances.__getitem__)
            expected = chances[row["predicted_label"]]
        np.testing.assert_allclose(row["probability"], expected, atol=1e-5)
