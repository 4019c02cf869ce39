"""What is saved of every family is what was trained, and learning goes on from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import tellapart
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.transformer import final_linear, head_dropouts, set_classifier_dropout
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted

WITHOUT_TELLAPART = """
import json, sys
sys.modules["tellapart"] = None  # importing it is an error
from transformers import pipeline
texts = json.load(sys.stdin)
answers = {folder: pipeline("text-classification", folder)(texts, top_k=None) for folder in sys.argv[1:]}
json.dump(answers, sys.stdout)
"""


@pytest.fixture(scope="module")
def saved(recipe_of, tasks, tmp_path_factory) -> Any:
    """A classifier of several labels a row, trained in two stages, and the folder that it was saved to."""
    done: dict[str, Any] = {}

    def make(family: str) -> Any:
        if family not in done:
            folder, data = tmp_path_factory.mktemp("saved"), tasks["multi-label"]
            # Few and small steps: an encoder that has learned to say one thing would hide what is saved wrongly.
            settings = ["stages.0.epochs=3", "stages.0.learning_rate=0.002"]
            recipe = recipe_of(family, "auxiliary-labels", data.labels, *settings)
            fitted = fit(recipe, data, folder / "checkpoints", quiet=True)
            fitted.save(folder / "model")
            done[family] = fitted, folder / "model"
        return done[family]

    return make


def _plain(folder: Path, rows: Any) -> tuple[Any, np.ndarray]:
    """The model as Transformers loads it, and its logits."""
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        return model, model.eval()(**rows.batch(range(len(rows)))).logits.numpy()


def test_a_checkpoint_of_every_family_gives_the_trained_logits_labels_and_problem_type(saved, tasks, family):
    tellapart.register()
    fitted, folder = saved(family)
    split = tasks["multi-label"].train
    scores = fitted.scores(split)
    model, logits = _plain(folder, fitted.tokenised(split))
    np.testing.assert_allclose(logits, scores, atol=1e-5)
    assert model.config.id2label == {0: "card", 1: "theft"}
    assert model.config.label2id == {"card": 0, "theft": 1}
    assert model.config.problem_type == "multi_label_classification"
    assert not list(folder.glob("*.bin"))
    again = load_fitted(folder)
    np.testing.assert_allclose(again.scores(split), scores, atol=1e-5)
    assert again.labels == fitted.labels
    assert scores.std(axis=0).min() > 1e-3
    if "+" not in family:  # a fused classifier has a tokeniser of its own
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer(split.texts)["input_ids"] == fitted.tokenizer(split.texts)["input_ids"]


def test_a_python_without_tellapart_serves_every_stock_family(saved, tasks):
    folders = {
        family: str(saved(family)[1]) for family in ("bert", "albert", "xlm-roberta", "mpnet", "modernbert")
    }
    split = tasks["multi-label"].train
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TELLAPART, *folders.values()],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        input=json.dumps(split.texts),
        capture_output=True,
        text=True,
        check=True,
    )
    served = json.loads(finished.stdout)
    for family, folder in folders.items():
        chances = [{entry["label"]: entry["score"] for entry in row} for row in served[folder]]
        expected = 1 / (1 + np.exp(-saved(family)[0].scores(split)))
        np.testing.assert_allclose([[row["card"], row["theft"]] for row in chances], expected, atol=1e-5)


def test_learning_goes_on_from_a_checkpoint_of_every_family(saved, recipe_of, tasks, tmp_path, family):
    fitted, folder = saved(family)
    data = tasks["single-label"]
    recipe = recipe_of("bert", "cross-entropy", data.labels, f"encoder.name={folder}", "stages.0.epochs=20")
    start = load_encoder(str(folder), data.labels)
    for name, value in fitted.model.base_model.state_dict().items():
        assert torch.equal(start.base_model.state_dict()[name], value), name
    further = fit(recipe, data, tmp_path, quiet=True)
    assert further.model.config.id2label == dict(enumerate(data.labels.names))
    losses = [entry["loss"] for entry in further.history if "loss" in entry]
    assert sum(losses[-3:]) / 3 < 0.95 * losses[0]


def test_the_rate_before_the_final_layer_is_saved_by_the_name_that_the_family_has_for_it(
    load_family, tasks, tmp_path, family
):
    model, _ = load_family(family, tasks["single-label"])
    set_classifier_dropout(model, 0.37)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    # MPNet has a single rate, that of the encoder, which must stay as it is.
    expected = model.config.hidden_dropout_prob if family == "mpnet" else 0.37
    assert {module.p for module in head_dropouts(again)} == {expected}
    assert final_linear(again).out_features == 3
