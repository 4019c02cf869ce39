"""Small corpora, and tiny language models of the families that users bring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, ElectraConfig, ElectraForPreTraining

from tellapart.encoders.loading import load_tokenizer
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.corpus import Corpus, build_corpus
from tellapart.pretraining.language_model import new_generator
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.texts import open_texts

SMALL = {
    "vocab_size": 200,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SMALL_SHARD = 1e-4  # MiB
NO_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "distilbert": {
        "vocab_size": 200,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 32,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "albert": SMALL | {"embedding_size": 8},
    "electra": SMALL | {"embedding_size": 8},
    "modernbert": SMALL | NO_IDS | {"cls_token_id": 1, "sep_token_id": 2},
    "deberta-v2": SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "xlm-roberta": SMALL | {"pad_token_id": 1, "type_vocab_size": 1},
}
FAMILIES = (
    "albert",
    "bert",
    "camembert",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "modernbert",
    "mpnet",
    "roberta",
    "roformer",
    "xlm-roberta",
)


@pytest.fixture
def language_model() -> Callable[..., Any]:
    """Makes a model with a head over the vocabulary, whose biases and norms are not 0 and 1."""

    def make(family: str = "bert", **options: Any) -> Any:
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **OPTIONS.get(family, SMALL) | options)
        model = AutoModelForMaskedLM.from_config(config)
        for parameter in model.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def electra_pair() -> Callable[..., tuple[Any, Any]]:
    """Makes a generator and a discriminator."""

    def make(**options: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        config = ElectraConfig(**OPTIONS["electra"] | options)
        return new_generator(config, share=0.5), ElectraForPreTraining(config)

    return make


@pytest.fixture(scope="session")
def tokenizer(tiny_encoder: str) -> Any:
    return load_tokenizer(tiny_encoder)


@pytest.fixture(scope="session")
def text_file(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tickets' texts, one a line; each third line has three of them."""
    texts = [text for text, _ in tickets]
    lines = [text if number % 3 else " . ".join([text, *texts[:2]]) for number, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("texts") / "tickets.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(text_file: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    return build_corpus(open_texts(text_file), tokenizer, folder, max_length=40)


@pytest.fixture(scope="session")
def sharded(text_file: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same corpus in many shards of at most 104 tokens."""
    folder = tmp_path_factory.mktemp("corpus") / "sharded"
    return build_corpus(
        open_texts(text_file), tokenizer, folder, max_length=40, shard_mib=SMALL_SHARD, workers=1
    )


@pytest.fixture(scope="session")
def sequences(corpus: Corpus, tokenizer: Any) -> MaskedSequences:
    return MaskedSequences(corpus, masking_for(tokenizer, vocabulary_size=200), tokenizer.pad_token_id)
