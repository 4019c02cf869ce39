from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tellapart.errors import DataError, TellapartWarning, UserError
from tellapart.evaluation.decision import DECISION_FILE
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
    (found,) = explain(after, [TEXT], tmp_path / "out", other_model=before)
    assert found.words == tuple(TEXT.split())
    assert np.isfinite(found.effects + found.other_effects).all()
    assert found.effects != found.other_effects
    assert any(found.effects)
    written = json.loads((tmp_path / "out" / "word-effects.json").read_text())
    assert (written["model"], written["other_model"]) == (str(after), str(before))
    assert written["texts"][0]["effects"] == list(found.effects)
    assert (tmp_path / "out" / "word-effects.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="not empty"):
        explain(after, [TEXT], tmp_path / "out")
    assert explain(after, [TEXT], tmp_path / "out", overwrite=True)[0].other_effects is None


@pytest.mark.parametrize(
    ("encoder", "attribution"), [("tfidf", "coefficients"), ("textcnn", "gradients"), ("han", "gradients")]
)
def test_models_without_a_transformer_are_explained(ticket_file, tmp_path, encoder, attribution):
    if attribution == "gradients":
        pytest.importorskip("captum")
    method = "tfidf" if encoder == "tfidf" else "cross-entropy"
    settings = [f"data.source={ticket_file}", f"encoder.name={encoder}"]
    model = _trained(settings + ([] if encoder == "tfidf" else ["stages.0.epochs=1"]), tmp_path, method)
    found = explain(model, [TEXT, "card"], tmp_path / "words.json")
    assert [len(one.effects) for one in found] == [7, 1]
    assert [one.attribution for one in found] == [attribution] * 2
    assert abs(found[0].error) <= 0.05 * sum(map(abs, found[0].effects)) + 1e-4
    assert len(json.loads((tmp_path / "words.json").read_text())["texts"]) == 2
    # The words that are left out for occlusion are the same.
    assert explain(model, TEXT, attribution="occlusion")[0].words == found[0].words


def test_pairs_and_the_first_rows_of_a_file_are_explained(ticket_file, tmp_path):
    model = _trained([f"data.source={ticket_file}", "encoder.name=tfidf"], tmp_path, "tfidf")
    with pytest.raises(DataError, match="the texts are pairs, and the model was trained on single texts"):
        explain(model, [("my card", "was stolen")])
    unknown = shutil.copytree(model, tmp_path / "unknown")
    (unknown / DECISION_FILE).unlink()
    with pytest.raises(DataError, match="trained on single texts"):
        explain(unknown, [("my card", "was stolen")], other_model=model)
    (pair,) = explain(unknown, [("my card", "was stolen")])
    assert pair.words == ("my", "card", "was", "stolen")
    with pytest.warns(TellapartWarning, match=r"first 3 of 192 rows .* --max-rows explains more"):
        assert len(explain(model, ticket_file, max_rows=3)) == 3
    assert len(explain(model, str(ticket_file), max_rows=192)) == 192
    with pytest.raises(DataError, match="0 rows"):
        explain(model, ticket_file, max_rows=0)
    with pytest.raises(DataError, match="there is no file"):
        explain(model, "ticketz.csv")
    # A text that is too long for the name of a file, and one with the end of such a name.
    assert len(explain(model, TEXT * 100)[0].words) > 500
    assert explain(model, "my card is in words.csv")[0].words[-1] == "csv"


def test_a_file_is_replaced_only_if_that_is_asked_for_and_the_one_that_is_read_never(ticket_file, tmp_path):
    data, page = tmp_path / "texts.json", tmp_path / "words.html"
    data.write_text(json.dumps([{"text": TEXT}]))
    page.write_text("mine")
    model = _trained([f"data.source={ticket_file}", "encoder.name=tfidf"], tmp_path, "tfidf")
    with pytest.raises(UserError, match="exists: choose another --output, or replace it with --overwrite"):
        explain(model, [TEXT], page)
    with pytest.raises(UserError, match="a file that the command reads"):
        explain(model, data, data, overwrite=True)
    assert (json.loads(data.read_text()), page.read_text()) == ([{"text": TEXT}], "mine")
    explain(model, data, page, overwrite=True)
    assert TEXT.split()[-1] in page.read_text()


def test_a_file_of_another_format_is_no_folder(ticket_file, tmp_path):
    model = _trained([f"data.source={ticket_file}", "encoder.name=tfidf"], tmp_path, "tfidf")
    with pytest.raises(
        UserError, match=r"out.pdf is no page, JSON or figure: give .* .html, .json, .png, or a folder"
    ):
        explain("no-model", [TEXT], tmp_path / "out.pdf")
    assert not (tmp_path / "out.pdf").exists()
    (tmp_path / "words.new").mkdir()
    for folder in ("v1.2", "words.new"):
        explain(model, [TEXT], tmp_path / folder)
        assert (tmp_path / folder / "word-effects.json").is_file()
