"""Objectives of two views, on encoders whose two views would be equal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tellapart.errors import ModelError
from tellapart.fitting.fit import fit

# ModernBERT and ALBERT come so; others may be configured so.
QUIET = {
    "modernbert": {},
    "albert": {},
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "distilbert": {"dropout": 0.0, "attention_dropout": 0.0},
    "deberta-v2": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
}


@pytest.fixture(params=QUIET)
def quiet_family(request):
    return request.param


@pytest.mark.parametrize("method", ["label-distance", "label-distance-static", "r-drop", "supcon"])
def test_two_views_need_dropout_and_the_error_says_how_to_get_it(
    recipe_of, encoder_folder, tasks, tmp_path, quiet_family, method
):
    data = tasks["single-label"]
    data = dataclasses.replace(data, validation=data.train)
    folder = encoder_folder(quiet_family, **QUIET[quiet_family])
    recipe = recipe_of("bert", method, data.labels, f"encoder.name={folder}", "stages.0.epochs=6")
    if method != "supcon":
        with pytest.raises(ModelError, match=r"no dropout.*--set stages\.0\.views_dropout=0\.1"):
            fit(recipe, data, tmp_path, quiet=True)
        assert not list(tmp_path.iterdir())
    stage = recipe.stages[0].model_copy(update={"views_dropout": 0.1} if method != "supcon" else {})
    fitted = fit(recipe.model_copy(update={"stages": [stage]}), data, tmp_path, quiet=True)
    assert np.isfinite(fitted.scores(data.train)).all()
    terms = [entry for entry in fitted.history if "loss_r_drop" in entry]
    if method == "r-drop":  # two equal views would have no divergence
        assert all(entry["loss_r_drop"] > 0 for entry in terms)
        assert terms


def test_a_later_stage_is_refused_before_the_first_one_trains(recipe_of, tasks, tmp_path, monkeypatch):
    data = tasks["single-label"]
    first = recipe_of("modernbert", "cross-entropy", data.labels)
    second = recipe_of("modernbert", "r-drop", data.labels)
    recipe = first.model_copy(update={"stages": [*first.stages, *second.stages]})
    monkeypatch.setattr("tellapart.fitting.fit.run_stage", lambda *_, **__: pytest.fail("a stage ran"))
    with pytest.raises(ModelError, match="no dropout"):
        fit(recipe, dataclasses.replace(data, validation=data.train), tmp_path, quiet=True)
