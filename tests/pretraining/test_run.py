from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, TrainerCallback

from tellapart.encoders.loading import load_tokenizer
from tellapart.errors import DataError, ModelError, RecipeError, TellapartError, UserError
from tellapart.pretraining import run as module
from tellapart.pretraining.checkpoints import last_checkpoint
from tellapart.pretraining.masked_statistics import pretrain_stats
from tellapart.pretraining.recipe import PretrainRecipe, validated_pretraining
from tellapart.pretraining.run import pretrain
from tellapart.pretraining.synonyms import build_wordnet_table
from tellapart.wordnet.reader import WordNet


@pytest.fixture(scope="module")
def synonyms(tiny_encoder, tiny_wordnet, tmp_path_factory) -> str:
    """A table for the tiny encoder's vocabulary."""
    path = tmp_path_factory.mktemp("synonyms") / "synonyms.safetensors"
    build_wordnet_table(load_tokenizer(tiny_encoder), WordNet(tiny_wordnet)).save(path)
    return str(path)


@pytest.fixture
def further(ticket_file, tiny_encoder) -> dict[str, Any]:
    """A run of a second that trains the tiny encoder further."""
    return {
        "texts": str(ticket_file),
        "encoder": tiny_encoder,
        "max_length": 24,
        "steps": 12,
        "save_every": 5,
        "learning_rate": 0.01,
    }


@pytest.fixture
def fresh(ticket_file) -> dict[str, Any]:
    """A run of a second that starts from nothing."""
    return {
        "texts": str(ticket_file),
        "encoder": "new",
        "vocabulary_size": 150,
        "hidden_size": 16,
        "layers": 1,
        "heads": 2,
        "max_length": 24,
        "steps": 12,
    }


def _run(content: dict[str, Any], folder: Path, **options: Any) -> Any:
    return pretrain(validated_pretraining(content), folder, quiet=True, **options)


def _log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("correction", ["none", "hard", "soft", "soft-sentence", "hard+soft"])
def test_each_correction_runs_and_is_logged(further, synonyms, tmp_path, correction):
    result = _run(further | {"correction": correction, "synonyms": synonyms}, tmp_path / "run")
    log = [entry for entry in _log(result.folder) if "loss" in entry]
    assert log[-1]["step"] == 12
    terms = {key for key in log[-1] if key.startswith("loss_")} - {"loss_mlm"}
    assert terms == {"hard": set(), "none": set(), "soft-sentence": {"loss_sentence"}}.get(
        correction, {"loss_soft"}
    )
    assert {"masked_accuracy", "corrected_predictions", "corrected_sequences", "tokens_per_second"} <= set(
        log[-1]
    )
    assert log[-1]["loss"] < log[0]["loss"]
    assert any("has no head" in note for note in result.notes)


@pytest.mark.parametrize("correction", ["hard+soft", "soft-sentence"])
def test_electra_runs_from_nothing_and_then_further_from_what_it_wrote(
    fresh, tiny_wordnet, tmp_path, correction
):
    options = {"objective": "electra", "correction": correction}
    table = None
    first = _run(fresh | {"objective": "electra"}, tmp_path / "first")
    if correction == "hard+soft":
        table = tmp_path / "table.safetensors"
        build_wordnet_table(load_tokenizer(str(tmp_path / "first")), WordNet(tiny_wordnet)).save(table)
    more = {"texts": fresh["texts"], "encoder": str(tmp_path / "first"), "max_length": 24, "steps": 4}
    second = _run(more | options | ({"synonyms": str(table)} if table else {}), tmp_path / "second")
    assert not any("new one" in note for note in second.notes)
    for folder in (first.folder, second.folder):
        assert AutoModel.from_pretrained(folder / "model").config.model_type == "electra"
        assert AutoModelForMaskedLM.from_pretrained(folder / "generator").config.hidden_size == 4
        tokens = [
            folder_model.get_input_embeddings().weight
            for folder_model in (
                AutoModel.from_pretrained(folder / "model"),
                AutoModelForMaskedLM.from_pretrained(folder / "generator"),
            )
        ]
        assert torch.equal(*tokens)
    assert "loss_discriminator" in _log(second.folder)[0]


def test_the_folder_holds_a_plain_model_and_tells_what_was_done(fresh, tmp_path):
    result = _run(fresh, tmp_path / "run")
    names = {path.name for path in result.folder.iterdir()}
    written = {"model", "recipe.yaml", "log.jsonl", "metrics.json", "report.html", "curves.png"}
    assert names == written | {"fingerprint.json"}
    model = AutoModelForMaskedLM.from_pretrained(result.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(result.folder / "model")
    assert model.config.architectures == ["BertForMaskedLM"]
    assert (model.config.max_position_embeddings, tokenizer.model_max_length) == (24, 24)
    assert model.config.vocab_size == len(tokenizer) <= 150
    recipe = yaml.safe_load((result.folder / "recipe.yaml").read_text())
    assert recipe == yaml.safe_load(result.recipe.to_yaml())
    assert (recipe["learning_rate"], recipe["family"], recipe["lowercase"]) == (5e-4, "bert", True)
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics == result.metrics
    assert metrics["corpus"]["sequences"] == 192
    assert metrics["statistics"]["prediction_level"] is None
    page = (result.folder / "report.html").read_text()
    assert page.count("<svg") == 1
    assert page.count(">epoch</text>") >= 2  # panels
    assert "&lt;" in page or "<script" not in page


def test_steps_are_three_passes_where_they_are_left_open(further, tmp_path):
    result = _run(further | {"steps": None, "batch_size": 64, "learning_rate": None}, tmp_path / "run")
    assert (result.recipe.steps, result.metrics["steps"]) == (9, 9)
    assert result.recipe.learning_rate == 5e-5


def test_the_report_shows_corrected_predictions_and_escapes_what_the_texts_hold(
    further, synonyms, tiny_wordnet, tmp_path
):
    lines = [f"the <b>card</b> was stolen & lost {number}" for number in range(40)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    result = _run(
        further
        | {
            "texts": str(tmp_path / "a.txt"),
            "correction": "hard",
            "synonyms": synonyms,
            "steps": 40,
            "learning_rate": 0.01,
        },
        tmp_path / "run",
    )
    page = (result.folder / "report.html").read_text()
    assert "<b>" not in page
    assert "wrong predictions that are synonyms" in page
    if result.metrics["statistics"]["prediction_level"]:
        assert "synonyms of" in page


class _Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 8:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch):
    """Runs something until its eighth step."""

    def run(content: dict[str, Any], folder: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module.LogFile, "on_step_end", _Stop.on_step_end, raising=False)
            with pytest.raises(KeyboardInterrupt):
                _run(content, folder)

    return run


def test_an_interrupted_run_resumes_to_the_same_model_and_log(fresh, interrupted, tmp_path):
    content = fresh | {"save_every": 5}
    _run(content, tmp_path / "whole")
    interrupted(content, tmp_path / "part")
    assert {path.name for path in (tmp_path / "part").iterdir()} == {
        "checkpoints",
        "recipe.yaml",
        "log.jsonl",
        "fingerprint.json",
    }
    [shard] = (tmp_path / "part").rglob("*.tokens.npy")
    tokens = shard.read_bytes()
    shard.write_bytes(tokens[:-1] + b"\xff")
    with pytest.raises(DataError, match="has another checksum than when it was written: delete that folder"):
        _run(content | {"check_corpus": True}, tmp_path / "part", resume=True)
    shard.write_bytes(tokens)
    [position] = (tmp_path / "part").rglob("position.json")
    assert json.loads(position.read_text())["step"] <= 5
    position.rename(tmp_path / "position.json")
    with pytest.raises(DataError, match=r"version 0\.1 began the run in .* are missing: start it again with"):
        _run(content, tmp_path / "part", resume=True)
    (tmp_path / "position.json").rename(position)
    _run(content, tmp_path / "part", resume=True)
    for file in ("model/model.safetensors", "model/tokenizer.json", "recipe.yaml"):
        assert (tmp_path / "part" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    losses = [[(e["step"], e.get("loss")) for e in _log(tmp_path / name)] for name in ("whole", "part")]
    assert losses[0] == losses[1]
    again = _run(content, tmp_path / "part", resume=True)
    assert again.notes == ("the run was already finished",)


def test_a_run_that_ended_before_its_report_only_writes_it(fresh, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_page", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            _run(fresh, tmp_path / "run")
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    _run(fresh, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "run" / "report.html").is_file()


def test_resuming_refuses_what_would_be_another_run(further, interrupted, ticket_file, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"my card is lost today {number}" for number in range(40)))
    content = further | {"texts": str(texts)}
    interrupted(content, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"was begun with steps: 12 \(now 30\)"):
        _run(content | {"steps": 30}, tmp_path / "run", resume=True)
    texts.write_text("other words\n" * 40)
    with pytest.raises(RecipeError, match="was begun with other texts"):
        _run(content, tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="is not empty"):
        _run(content, tmp_path / "run")
    _run(content | {"steps": 2}, tmp_path / "run", overwrite=True)


def test_all_checkpoints_stay_when_asked_to_and_are_plain_models(further, synonyms, tmp_path):
    content = further | {"keep_checkpoints": True, "synonyms": synonyms, "learning_rate": 0.01}
    folder = _run(content, tmp_path / "run").folder
    checkpoints = sorted((folder / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    assert [path.name for path in checkpoints] == ["checkpoint-5", "checkpoint-10", "checkpoint-12"]
    found = pretrain_stats([*checkpoints, folder], content["texts"], synonyms=synonyms, quiet=True)
    assert [one.checkpoint for one in found] == [str(path) for path in (*checkpoints, folder)]
    assert found[0].statistics.loss > found[-1].statistics.loss
    assert found[2].statistics == found[3].statistics
    assert {one.statistics.sequences for one in found} == {192}
    sample = pretrain_stats([folder], content["texts"], synonyms=synonyms, limit=20, quiet=True)
    assert sample[0].statistics.sequences == 20


def test_checkpoints_are_saved_at_shares_of_the_run_and_it_goes_on_from_them(further, tmp_path, monkeypatch):
    further |= {"save_every": None, "save_at": [0.25, 0.5, 0.9], "keep_checkpoints": True}
    whole = _run(further, tmp_path / "whole")
    found = {path.name for path in (whole.folder / "checkpoints").iterdir()}
    assert found == {"checkpoint-3", "checkpoint-6", "checkpoint-11", "checkpoint-12"}
    assert (whole.recipe.save_at, whole.recipe.save_every) == ([0.25, 0.5, 0.9], None)

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 8:
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "ProgressBar", lambda *_: Stop())
    with pytest.raises(KeyboardInterrupt):
        pretrain(validated_pretraining(further), tmp_path / "cut", quiet=False)
    assert last_checkpoint(tmp_path / "cut" / "checkpoints").endswith("checkpoint-6")
    _run(further, tmp_path / "cut", resume=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_statistics_of_a_model_without_the_head_are_refused(tiny_encoder, ticket_file, synonyms):
    with pytest.raises(ModelError, match="has no masked language modelling head"):
        pretrain_stats([tiny_encoder], ticket_file, synonyms=synonyms, quiet=True)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"encoder": "tiny"}, TellapartError, "tiny"),
        ({"max_length": 65}, ModelError, "at most 64 tokens"),
        ({"objective": "electra"}, ModelError, "not of the ELECTRA family"),
        ({"text": "nothing"}, DataError, 'no column "nothing"'),
        ({"texts": None}, RecipeError, "no texts were given"),
        ({"trainer": {"max_steps": 3}}, RecipeError, "set steps instead"),
        ({"trainer": {"warmup": 3}}, RecipeError, 'no trainer option "warmup"'),
        (
            {"batch_size": 500, "gradient_accumulation_steps": 500},
            DataError,
            "are too few for the 500 batches",
        ),
        ({"synonyms": "missing.safetensors"}, TellapartError, "missing.safetensors"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(further, tmp_path, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        _run(further | changes, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()


def test_the_default_recipe_is_complete():
    written = yaml.safe_load(PretrainRecipe().to_yaml())
    assert PretrainRecipe(**written) == PretrainRecipe()
    later = {"loss_temperature", "corpus_workers", "shard_mib", "check_corpus"}  # neutral: see to_yaml
    assert PretrainRecipe().model_dump().keys() - written.keys() == later
