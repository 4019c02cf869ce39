"""A service answers what `tellapart predict` writes, for every kind of model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.evaluation.decision import Decision
from tellapart.evaluation.predictions import added_columns
from tellapart.fitting.fitted import Fitted
from tellapart.runs.predict import predict
from tellapart.serving.model import ServedModel, Text, load_model
from tellapart.training.tfidf import TfidfClassifier

CLASSES = ("expired", "lost", "stolen")
TEXTS = [
    "my card was stolen",
    "",
    "the debit card is missing since monday " * 5,
    "ends this month",
    "lost",
    "漢字 🙂",
]

MULTI_LABEL = LabelSpace(CLASSES, "multi_label_classification")
KINDS = {
    "calibrated": (LabelSpace(CLASSES), Decision(temperature=2.0)),
    "multi-label": (MULTI_LABEL, Decision((0.9, 0.5, 0.2))),
    "regression": (LabelSpace((SCORE,), "regression"), Decision()),
}


def predicted(model: Path, tmp_path: Path, pairs: list[str] | None = None, **options: Any) -> list[dict]:
    """The columns that `predict` adds to the texts."""
    file, output = tmp_path / "texts.jsonl", tmp_path / "predicted.jsonl"
    rows = [{"text": text} for text in TEXTS]
    if pairs is not None:
        rows = [{**row, "text_pair": pair} for row, pair in zip(rows, pairs, strict=True)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict(model, file, output, quiet=True, **options)
    written = [json.loads(line) for line in output.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("text")} for row in written]


def check(answers: list[dict], wanted: list[dict], tolerance: float = 1e-6) -> None:
    """The same columns and labels; numbers as close as other padding of the batch lets them be."""
    for answer, row in zip(answers, wanted, strict=True):
        assert answer.keys() == row.keys()
        assert answer.get("predicted_label") == row.get("predicted_label")
        for name in answer.keys() - {"predicted_label"}:
            assert answer[name] == pytest.approx(row[name], abs=tolerance)


def served(client: Any, texts: Any = TEXTS, **fields: Any) -> list[dict]:
    answer = client.post("/v1/classify", json={"texts": texts, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_predict(client, write_model, tmp_path, kind):
    labels, decision = KINDS[kind]
    run = write_model(tmp_path / "run", labels=labels, decision=decision)
    wanted = predicted(run, tmp_path, precision="fp32")
    service = client(run, precision="fp32")
    check(served(service), wanted)
    check([served(service, text)[0] for text in TEXTS], wanted)


def test_answers_in_bf16_are_those_of_predict_up_to_its_rounding(client, run_folder, tmp_path):
    wanted = predicted(run_folder, tmp_path, precision="bf16")
    answers = served(client(precision="bf16"))
    assert [row["probability"] for row in answers] == pytest.approx(
        [row["probability"] for row in wanted], abs=0.05
    )


def test_pairs_are_answered_as_predict_does(client, run_folder, tmp_path):
    pairs = list(reversed(TEXTS))
    answers = served(client(precision="fp32"), text_pairs=pairs)
    check(answers, predicted(run_folder, tmp_path, pairs, precision="fp32"))
    assert answers != served(client(precision="fp32"))


def test_a_tfidf_model_is_served(client, tickets, tmp_path):
    labels = LabelSpace(CLASSES)
    split = TextSplit([text for text, _ in tickets], labels=[label for _, label in tickets])
    Fitted(TfidfClassifier.fit(split, labels), labels).save(tmp_path / "run" / "model")
    service = client(tmp_path / "run")
    check(served(service), predicted(tmp_path / "run", tmp_path))
    assert service.get("/v1/model").json()["kind"] == "a tfidf model"


def test_an_export_is_served(client, run_folder, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from tellapart.runs.export import export

    export(run_folder, tmp_path / "onnx")
    check(served(client(tmp_path / "onnx")), predicted(tmp_path / "onnx", tmp_path))


def test_the_most_probable_classes_come_with_the_rows_that_ask_for_them(run_folder):
    model = load_model(str(run_folder), "fp32")
    none, two, all_of_them = model.answers([Text(TEXTS[0], top_k=k) for k in (0, 2, 99)])
    assert "top" not in none
    assert [one["label"] for one in two["top"]] == [one["label"] for one in all_of_them["top"][:2]]
    assert two["top"][0] == {"label": two["predicted_label"], "probability": two["probability"]}
    assert {one["label"] for one in all_of_them["top"]} == set(CLASSES)
    assert sum(one["probability"] for one in all_of_them["top"]) == pytest.approx(1)


@pytest.mark.parametrize("kind", [None, "multi_label_classification"])
def test_the_most_probable_classes_are_in_the_order_of_predict_where_probabilities_are_equal(kind):
    """Probabilities of large logits round to 1; `predict --top-k` orders by logits."""
    labels = LabelSpace(CLASSES, *([] if kind is None else [kind]))
    logits = np.float32([[40, 50, 45], [0, 0, 0], [-800, 0, -790]])
    fitted = SimpleNamespace(scores=lambda _: logits, labels=labels, decision=Decision())
    answers = ServedModel(fitted, "", {}).answers([Text("a", top_k=3), Text("b"), Text("c", top_k=2)])
    columns = pa.table(dict(added_columns(labels, logits, Decision(), top_k=3))).to_pylist()
    assert "top" not in answers[1]
    for row, most in ((0, 3), (2, 2)):
        wanted = [
            {"label": columns[row][f"top_{k}_label"], "probability": columns[row][f"top_{k}_probability"]}
            for k in range(1, most + 1)
        ]
        assert answers[row]["top"] == wanted
    assert [one["label"] for one in answers[0]["top"]] == ["lost", "stolen", "expired"]


def test_the_version_is_that_of_the_files_wherever_they_are(run_folder, write_model, tmp_path):
    version = load_model(str(run_folder)).version
    same = write_model(tmp_path / "same")
    assert load_model(str(same / "model")).version == version
    other = write_model(tmp_path / "other", seed=1)
    assert load_model(str(other)).version != version
