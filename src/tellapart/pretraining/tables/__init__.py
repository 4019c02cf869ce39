"""Synonym tables by name: the one that comes with tellapart, files, or one built from an installed WordNet.

The table beside this file was built from WordNet 3.0 for the vocabulary of bert-base-uncased, which MiniLM, ELECTRA
and many others share. It is a work of WordNet's, under the licence in `WORDNET-LICENSE.txt`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tellapart.pretraining.synonyms import SynonymTable, build_wordnet_table
from tellapart.pretraining.vocabulary import vocabulary_fingerprint
from tellapart.wordnet.reader import WordNet

WORDNET = "wordnet"
"""The source that means WordNet's synonyms, whichever way they can be had."""

_SHIPPED = Path(__file__).with_name("bert-base-uncased-wordnet-3.0.safetensors")


def synonym_table(source: str | Path, tokenizer: Any, *, wordnet: WordNet | None = None) -> SynonymTable:
    """Returns the synonym table for a tokeniser.

    Args:
        source: `wordnet`: the table that comes with tellapart where the tokeniser has its vocabulary, else one
            built now. Or a file that `tellapart synonyms build` wrote.
        tokenizer: A Transformers tokeniser.
        wordnet: What to build from; by default the WordNet that is installed.

    Raises:
        DataError: WordNet is needed and not there, or the file is no synonym table.
        ModelError: The file belongs to another vocabulary.
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
    """Returns the table that comes with tellapart: WordNet 3.0, bert-base-uncased."""
    return SynonymTable.load(_SHIPPED)
