"""A small task of classes that look alike, and an encoder that learns it in a second."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest

_SUBJECTS = ("my card", "the debit card", "our company card", "her credit card")
_CLASSES = {
    "lost": ("was lost", "is missing", "cannot be found", "got misplaced"),
    "stolen": ("was stolen", "was taken by a thief", "got robbed", "is in a thief's hands"),
    "expired": ("has expired", "is out of date", "ends this month", "needs renewal"),
}
_ENDINGS = ("", " today", " since monday", " in town")


@pytest.fixture(scope="session")
def tickets() -> list[tuple[str, str]]:
    """192 distinct texts with one of three labels each."""
    return [
        (f"{subject} {phrase}{ending}", label)
        for label, phrases in _CLASSES.items()
        for subject, phrase, ending in itertools.product(_SUBJECTS, phrases, _ENDINGS)
    ]


@pytest.fixture(scope="session")
def ticket_file(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tickets as a CSV file with the columns id, text and label."""
    path = tmp_path_factory.mktemp("data") / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows([number, text, label] for number, (text, label) in enumerate(tickets))
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT of two layers and 32 dimensions with random weights, whose words are the tickets'."""
    import torch
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    learned = BertWordPieceTokenizer()
    learned.train_from_iterator([text for text, _ in tickets], vocab_size=200, show_progress=False)
    tokenizer = BertTokenizer(vocab=learned.get_vocab())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
