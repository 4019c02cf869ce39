from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tellapart.encoders import token_counter
from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.token_counter import load_token_counter
from tellapart.errors import DataError, ModelError

TEXTS = ["I lost my card today", "my card was STOLEN — by a thief!", "", "naïve café 東京"]


@pytest.fixture
def checkpoint(tiny_encoder: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def _counts(tokenizer: Any) -> list[list[int]]:
    return [
        [len(ids) for ids in tokenizer(*columns)["input_ids"]] for columns in ([TEXTS], [TEXTS, TEXTS[::-1]])
    ]


@pytest.fixture
def without_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the way through the Auto classes fail."""
    monkeypatch.setattr("tellapart.encoders.loading.load_tokenizer", None)


@pytest.mark.usefixtures("without_auto")
@pytest.mark.parametrize("lower", [True, False])
def test_the_tokens_are_those_of_training(checkpoint: Path, lower: bool) -> None:
    _change(checkpoint / "tokenizer_config.json", do_lower_case=lower, model_max_length=77)
    counter = load_token_counter(str(checkpoint), TEXTS)
    assert counter.model_max_length == 77
    assert _counts(counter) == _counts(load_tokenizer(str(checkpoint)))


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"model_type": "modernbert"}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ],
)
def test_other_checkpoints_are_left_to_the_auto_classes(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, file: str, values: dict[str, str]
) -> None:
    _change(checkpoint / file, **values)
    monkeypatch.setattr("tellapart.encoders.loading.load_tokenizer", lambda name: name)
    assert load_token_counter(str(checkpoint), TEXTS) == str(checkpoint)


def test_a_tokeniser_with_code_of_its_own_is_refused(checkpoint: Path) -> None:
    _change(checkpoint / "tokenizer_config.json", auto_map={"AutoTokenizer": ["a.B", None]})
    with pytest.raises(ModelError, match="auto_map"):
        load_token_counter(str(checkpoint), TEXTS)


def test_a_broken_tokeniser_is_told_as_by_training(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_token_counter(str(checkpoint), TEXTS)


@pytest.mark.parametrize("encoder", ["textcnn", "han"])
def test_encoders_without_a_checkpoint_learn_theirs_from_the_texts(encoder: str) -> None:
    counter = load_token_counter(encoder, ["my card is lost. my card"] * 3)
    assert ("[SEP]" in counter.tokenize("my card. My card is lost")) == (encoder == "han")
    with pytest.raises(DataError, match="often enough"):
        load_token_counter(encoder, ["once"])


def test_every_class_is_the_one_that_transformers_has_for_its_model_type() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    assert token_counter._CLASSES.items() <= TOKENIZER_MAPPING_NAMES.items()
