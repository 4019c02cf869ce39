from __future__ import annotations

import json

import numpy as np
import pytest

from tellapart.errors import UserError
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.explain import explain

TEXT = "my card was stolen by a thief"


def _trained(settings, folder, method="cross-entropy"):
    recipe = with_values(method_recipe(method), settings)
    fit(recipe, load_data(recipe), folder / "checkpoints", quiet=True).save(folder / "model")
    return folder / "model"


def test_words_are_explained_before_and_after_the_second_stage(ticket_file, tiny_encoder, tmp_path):
    settings = [
        f"data.source={ticket_file}",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=6",
        "stages.0.learning_rate=0.005",
        "stages.0.objective.total=6",
    ]
    after = _trained(settings, tmp_path / "after", "auxiliary-labels")
    before = _trained(["stages=[{objective: {name: auxiliary-labels}}]", *settings], tmp_path / "before")
    (found,) = explain(after, [TEXT], tmp_path / "out", against=before)
    assert found.words == tuple(TEXT.split())
    assert np.isfinite(found.effects + found.against).all()
    assert found.effects != found.against
    assert any(found.effects)
    written = json.loads((tmp_path / "out" / "word-effects.json").read_text())
    assert (written["model"], written["against"]) == (str(after), str(before))
    assert written["texts"][0]["effects"] == list(found.effects)
    assert (tmp_path / "out" / "word-effects.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="not empty"):
        explain(after, [TEXT], tmp_path / "out")
    assert explain(after, [TEXT], tmp_path / "out", overwrite=True)[0].against is None


@pytest.mark.parametrize("encoder", ["tfidf", "textcnn", "han"])
def test_models_without_a_transformer_are_explained(ticket_file, tmp_path, encoder):
    method = "tfidf" if encoder == "tfidf" else "cross-entropy"
    settings = [f"data.source={ticket_file}", f"encoder.name={encoder}"]
    model = _trained(settings + ([] if encoder == "tfidf" else ["stages.0.epochs=1"]), tmp_path, method)
    found = explain(model, [TEXT, "card"], tmp_path / "out")
    assert [len(one.effects) for one in found] == [7, 1]
    assert any(found[0].effects)
