"""Checkpoints that contain Python code: it never runs, and nothing asks on the terminal whether it may."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import tellapart
from tellapart.cli import main
from tellapart.encoders.loading import load_classifier, load_classifier_model, load_encoder, load_tokenizer
from tellapart.encoders.pretrained import read_model, read_tokenizer
from tellapart.encoders.transformer import save_classifier
from tellapart.errors import ModelError

SOURCE = Path(tellapart.__file__).parent

CODE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
Path("{mark}").touch()
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

class Config(BertConfig): model_type = "{kind}"
class Model(BertForSequenceClassification): config_class = Config
class Tokenizer(BertTokenizer): pass
"""


@pytest.fixture
def asked(monkeypatch):
    """Answers every question on the terminal with yes, and counts them."""
    questions: list[str] = []

    def answer(prompt: str = "") -> str:
        questions.append(prompt)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    return questions


@pytest.fixture(params=["config.json", "tokenizer_config.json", "both"])
def with_code(request, tiny_encoder, tmp_path, monkeypatch) -> str:
    """The folder of an encoder whose files name classes in a Python file beside them."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "own.py").write_text(CODE.format(mark=tmp_path / "ran", kind="own"))
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    if request.param != "tokenizer_config.json":
        config["auto_map"] = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
        config["model_type"] = "own" if request.param == "both" else "bert"
    if request.param != "config.json":
        tokenizer["auto_map"] = {"AutoTokenizer": ["own.Tokenizer", None]}
        tokenizer["tokenizer_class"] = "Tokenizer"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return str(folder)


def _ran(folder: str) -> bool:
    return (Path(folder).parent / "ran").exists() or (Path(folder) / "ran").exists()


def test_every_verb_refuses_a_checkpoint_with_code_and_never_asks(
    with_code, asked, ticket_file, squad_file, tmp_path, capsys
):
    """The models of spans and classifiers are refused even earlier where only the tokeniser has code."""
    output = ["--output", str(tmp_path / "out")]
    commands = [
        ["train", ticket_file, "--encoder", with_code, "--quiet", *output],
        ["check", ticket_file, "--encoder", with_code],
        ["pretrain", ticket_file, "--encoder", with_code, *output],
        ["spans", "train", squad_file, "--encoder", with_code, *output],
        ["spans", "evaluate", with_code, squad_file],
        ["evaluate", with_code, ticket_file],
        ["robustness", with_code, ticket_file, *output],
        ["predict", with_code, ticket_file, "--output", tmp_path / "out.csv"],
        ["export", with_code, *output],
    ]
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in command])
        error = capsys.readouterr().err.splitlines()[-1]
        assert end.value.code == 2, (command, error)
        assert error.startswith("error: "), command
        if command[0] in ("train", "check", "pretrain"):
            assert "Python code of its own" in error, (command, error)
    assert asked == []
    assert not _ran(with_code)


def test_the_loaders_name_the_file_with_the_code(with_code, asked):
    with pytest.raises(ModelError, match=r"auto_map in its (tokenizer_)?config\.json.*never run"):
        load_tokenizer(with_code)
    assert asked == []


def test_models_and_tokenisers_without_code_load_as_before(tiny_encoder):
    from transformers import AutoModel

    assert len(read_tokenizer(tiny_encoder)) == read_model(AutoModel, tiny_encoder).config.vocab_size
    assert load_encoder(tiny_encoder, tellapart.LabelSpace(("a", "b"))).config.num_labels == 2
    with pytest.raises(ModelError, match="not a classifier"):
        load_classifier(tiny_encoder)


def test_only_one_module_loads_through_the_auto_classes():
    loads = re.compile(r"(?<!FusedTokenizer)\.(from_pretrained|from_config)\(")
    found = {file for file in SOURCE.rglob("*.py") if loads.search(file.read_text(encoding="utf-8"))}
    printing = "cli/tables.py"  # prints such a call
    named = (
        "encoders/token_counter.py"  # loads tokenisers of classes that it names, and no checkpoint with code
    )
    assert {file.relative_to(SOURCE).as_posix() for file in found} - {printing, named} == {
        "encoders/pretrained.py"
    }


@pytest.mark.parametrize("left", ["config.json", "tokenizer_config.json"])
def test_every_verb_refuses_a_model_without_tokeniser(left, ticket_file, tiny_encoder, tmp_path, capsys):
    """Transformers reads such a folder as a tokeniser to which every word is unknown."""
    labels = tellapart.LabelSpace(("expired", "lost", "stolen"))
    folder, output = str(tmp_path / "model"), ["--output", str(tmp_path / "out")]
    save_classifier(load_encoder(tiny_encoder, labels), folder)
    if left == "tokenizer_config.json":
        shutil.copy(Path(tiny_encoder) / left, folder)
    commands = [
        ["train", ticket_file, "--encoder", folder, "--quiet", *output],
        ["check", ticket_file, "--encoder", folder],
        ["pretrain", ticket_file, "--encoder", folder, *output],
        ["evaluate", folder, ticket_file],
        ["predict", folder, ticket_file, "--output", tmp_path / "out.csv"],
        ["explain", folder, "my card was stolen"],
        ["export", folder, *output],
        ["serve", folder, "--port", "0"],
    ]
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in command])
        error = capsys.readouterr().err.splitlines()[-1]
        assert (end.value.code, "no tokeniser" in error) == (2, True), (command, error)
    assert load_classifier_model(folder).config.num_labels == 3
