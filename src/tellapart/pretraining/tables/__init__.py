"""Loads synonym tables: the bundled table, files, or tables built from an installed WordNet.

The bundled table was built from WordNet 3.0 for the vocabulary of bert-base-uncased, which MiniLM, ELECTRA and many
others share. It is derived from WordNet, under the licence in `WORDNET-LICENSE.txt`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tellapart.pretraining.synonyms import SynonymTable, build_wordnet_table
from tellapart.pretraining.vocabulary import vocabulary_fingerprint
from tellapart.wordnet.reader import WordNet

WORDNET = "wordnet"
"""Source name of WordNet's synonyms, bundled or built."""

_SHIPPED = Path(__file__).with_name("bert-base-uncased-wordnet-3.0.safetensors")


def synonym_table(source: str | Path, tokenizer: Any, *, wordnet: WordNet | None = None) -> SynonymTable:
    """Returns the synonym table for a tokeniser.

    Args:
        source: `wordnet` for the bundled table if the tokeniser has its vocabulary, else a new one; or a file written
            by `tellapart synonyms build`.
        tokenizer: A Transformers tokeniser.
        wordnet: The WordNet to build from; by default the installed one.

    Raises:
        DataError: WordNet is required but not installed, or the file is not a synonym table.
        ModelError: The file was built for another vocabulary.
    """
    if source == WORDNET:
        shipped = shipped_table()
        if wordnet is None and shipped.vocabulary_fingerprint == vocabulary_fingerprint(tokenizer):
            return shipped
        return build_wordnet_table(tokenizer, wordnet)
    table = SynonymTable.load(source)
    table.require_vocabulary(tokenizer)
    return table


def shipped_table() -> SynonymTable:
    """Returns the bundled table (WordNet 3.0, bert-base-uncased)."""
    return SynonymTable.load(_SHIPPED)
