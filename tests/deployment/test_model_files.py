from __future__ import annotations

from pathlib import Path

import pytest

from tellapart.deployment.model_files import SAVING, replace_model

CHECKPOINT = ("model.safetensors", "config.json", "tokenizer.json", "estimator.json", "tellapart.json")
EXPORT = ("model.onnx", "model-int8.onnx", "export.json", "config.json", "tokenizer.json")
TFIDF = ("tfidf.json", "tfidf.safetensors", "estimator.json", "README.md")


def _written(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{name} of {folder.name}")
    return folder


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(SAVING)}


@pytest.mark.parametrize("earlier", [CHECKPOINT, EXPORT, TFIDF])
@pytest.mark.parametrize("later", [CHECKPOINT, TFIDF])
def test_the_files_of_an_earlier_model_go_and_others_stay(tmp_path, earlier, later):
    folder = _written(tmp_path / "saved", *earlier, "notes.txt", "LICENSE")
    _written(folder / "tokenizer-1", "tokenizer.json")
    replace_model(folder, _written(folder / f"{SAVING}1" / "model", *later))
    kept = {"README.md"} & {*earlier}
    assert _names(folder) == {*later, "notes.txt", "LICENSE"} | kept
    assert all((folder / name).read_text().endswith("of model") for name in later)


def test_files_named_as_those_of_a_model_stay_where_there_is_no_model(tmp_path, monkeypatch):
    folder = _written(tmp_path / "mine", "vocab.txt", "dict.txt", "tellapart.json")
    monkeypatch.chdir(tmp_path)
    replace_model(Path("mine"), _written(folder / f"{SAVING}1" / "model", *TFIDF))
    assert _names(folder) == {*TFIDF, "vocab.txt", "dict.txt"}


@pytest.mark.parametrize("steps", range(12))
def test_a_replacement_that_is_interrupted_leaves_no_model_and_is_made_good(tmp_path, monkeypatch, steps):
    folder = _written(tmp_path / "saved", *EXPORT)
    new = _written(folder / f"{SAVING}1" / "model", *TFIDF)
    done = 0

    def counted(change):
        def changed(path, *arguments):
            nonlocal done
            done += 1
            if done > steps:
                raise OSError("interrupted")
            return change(path, *arguments)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(Path, "replace", counted(Path.replace))
        try:
            replace_model(folder, new)
        except OSError:
            names = _names(folder)
            if names & {"export.json", "config.json"}:
                assert names <= {*EXPORT}
                assert "tokenizer.json" in names or not names & {"model.onnx", "model-int8.onnx"}
            if "tfidf.json" in names:
                assert names == {*TFIDF} - {"estimator.json"}
            assert "estimator.json" not in names
    replace_model(folder, _written(folder / f"{SAVING}2" / "model", *CHECKPOINT))
    assert _names(folder) - {"README.md"} == {*CHECKPOINT}
