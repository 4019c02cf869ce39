from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp("export") / "tickets-onnx"
    with pytest.raises(SystemExit) as end:
        main(["export", trained, "--output", str(folder)])
    assert not end.value.code
    return folder


def _predicted(tellapart, model, file, output):
    assert tellapart("predict", model, file, "--output", output, "--precision", "fp32", "--quiet").code == 0
    with output.open() as written:
        return list(csv.DictReader(written))


def test_predict_and_evaluate_take_an_export_for_the_model_it_was(
    tellapart, trained, exported, ticket_file, tmp_path
):
    one = _predicted(tellapart, trained, ticket_file, tmp_path / "torch.csv")
    other = _predicted(tellapart, exported, ticket_file, tmp_path / "onnx.csv")
    chances = [[float(row.pop("probability")) for row in rows] for rows in (one, other)]
    assert one == other
    np.testing.assert_allclose(*chances, atol=1e-5)
    evaluated = [
        json.loads(tellapart("evaluate", model, ticket_file, "--precision", "fp32", "--json", "--quiet").out)
        for model in (trained, exported)
    ]
    assert evaluated[1] == pytest.approx(evaluated[0], abs=1e-5)
    refused = tellapart(
        "predict", exported, ticket_file, "--output", tmp_path / "x.csv", "--precision", "bf16"
    )
    assert (refused.code, "cannot be scored in bf16" in refused.err) == (2, True)


def test_export_says_how_the_answers_compare_and_what_to_do_next(tellapart, trained, exported, monkeypatch):
    again = tellapart("export", trained, "--output", exported)
    assert again.code == 2
    assert "holds an export" in again.err
    from tellapart.deployment.manifest import read_manifest
    from tellapart.runs import export as exporting

    monkeypatch.setattr(
        exporting, "export_onnx", lambda *given, **_: given[3].mkdir() or read_manifest(exported)
    )
    finished = tellapart("export", trained, "--output", exported, "--overwrite")
    assert "model.onnx: 100.00 % of 38 texts get the label of PyTorch" in finished.out
    assert (
        finished.out.splitlines()[-1] == f"next: tellapart predict {exported} FILE --output predictions.csv"
    )


def test_without_the_extra_one_sentence_names_it(tellapart, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    finished = tellapart("export", trained, "--output", tmp_path / "x")
    assert finished.code == 2
    assert "pip install 'tellapart[onnx]'" in finished.err
    assert not (tmp_path / "x").exists()
