"""Synonym tables, which identify predictions that are false negatives of masked language modelling."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tellapart.errors import DataError, ModelError
from tellapart.files import replacing
from tellapart.pretraining.vocabulary import vocabulary_fingerprint, vocabulary_tokens, vocabulary_words
from tellapart.wordnet.reader import WordNet
from tellapart.wordnet.stop_words import ENGLISH_STOP_WORDS

_FORMAT = "tellapart-synonyms-1"


@dataclass(frozen=True, eq=False)
class SynonymTable:
    """The lookup table V of the paper: for a gold token w its synonyms V[w].

    Args:
        keys: `gold * vocabulary_size + predicted` for every pair, int64 (N,), strictly increasing.
        vocabulary_size: Number of token ids.
        vocabulary_fingerprint: See `tellapart.pretraining.vocabulary`.
        source: Origin of the synonyms, such as `WordNet 3.0`.
        options: Settings of the table: `stop_words`, `symmetric` and others of the source.
        coverage: Numbers of tokens: all (`vocabulary`), excluded (`stop_words`), known to the source (`in_source`).

    Raises:
        DataError: The keys are not sorted, or outside the vocabulary.

    Example:
        >>> table = build_wordnet_table(tokenizer)
        >>> primary, main = tokenizer.convert_tokens_to_ids(["primary", "main"])
        >>> table.contains(torch.tensor([primary]), torch.tensor([main]))
        tensor([True])

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, section 3.2.
    """

    keys: Tensor
    vocabulary_size: int
    vocabulary_fingerprint: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    coverage: Mapping[str, int] = field(default_factory=dict)
    _on_device: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        keys = self.keys
        if (
            keys.dtype != torch.int64
            or keys.dim() != 1
            or bool((keys.diff() <= 0).any())
            or (len(keys) and not 0 <= int(keys[0]) <= int(keys[-1]) < self.vocabulary_size**2)
        ):
            raise DataError(
                "the synonym table is damaged (keys not sorted or out of range)", "build it again"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def contains(self, gold: Tensor, predicted: Tensor) -> Tensor:
        """Returns whether each predicted token is a synonym of the gold token.

        Args:
            gold: Token ids, an integer tensor of any shape. Invalid ids, such as -100, have no synonyms.
            predicted: Token ids of the same shape on the same device. Ids beyond the vocabulary are no synonyms.

        Returns:
            bool, of the same shape. A token is not a synonym of itself.
        """
        size, keys = self.vocabulary_size, self._keys_on(gold.device)
        ids = (gold >= 0) & (gold < size) & (predicted >= 0) & (predicted < size)
        if not len(keys):
            return torch.zeros_like(ids)
        wanted = (gold.long() * size + predicted).contiguous()
        places = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return (keys[places] == wanted) & ids

    def neighbours(self, gold: int) -> list[int]:
        """Returns V[gold], the synonyms of a gold token, in increasing order."""
        start, end = torch.searchsorted(self.keys, torch.tensor([gold, gold + 1]) * self.vocabulary_size)
        return (self.keys[start:end] - gold * self.vocabulary_size).tolist()

    def neighbour_of(self, predicted: int) -> list[int]:
        """Returns the gold tokens with a token as synonym, in increasing order."""
        return (self.keys[self.keys % self.vocabulary_size == predicted] // self.vocabulary_size).tolist()

    def stats(self) -> dict[str, int]:
        """Returns how much of the vocabulary the table covers.

        Returns:
            Numbers of tokens (`vocabulary`), of excluded `stop_words`, of other tokens known to the source
            (`in_source`), of tokens `with_synonyms` in the vocabulary, and of `pairs`.
        """
        golds = torch.unique(self.keys // self.vocabulary_size)
        return {**self.coverage, "with_synonyms": len(golds), "pairs": len(self)}

    def require_vocabulary(self, tokenizer: Any) -> None:
        """Checks that the table has the vocabulary of a tokeniser.

        Raises:
            ModelError: It was built for another vocabulary.
        """
        fingerprint = vocabulary_fingerprint(tokenizer)
        if fingerprint != self.vocabulary_fingerprint:
            size = len(vocabulary_tokens(tokenizer))
            raise ModelError(
                f"the synonym table was built for a vocabulary of {self.vocabulary_size:,} tokens "
                f"({self.vocabulary_fingerprint[:8]}), but the encoder's has {size:,} ({fingerprint[:8]})",
                'build one for it with "tellapart synonyms build --encoder NAME"',
            )

    def save(self, path: str | Path) -> None:
        """Writes the table as a safetensors file, with its metadata in the header.

        Raises:
            OutputError: It cannot be written.
        """
        header = {
            "format": _FORMAT,
            "vocabulary_size": str(self.vocabulary_size),
            "vocabulary_fingerprint": self.vocabulary_fingerprint,
            "source": self.source,
            "options": json.dumps(dict(self.options), sort_keys=True),
            "coverage": json.dumps(dict(self.coverage), sort_keys=True),
        }
        with replacing(path) as temporary:
            save_file({"keys": self.keys}, temporary, metadata=header)

    @classmethod
    def load(cls, path: str | Path) -> SynonymTable:
        """Reads a table written by `save`.

        Raises:
            DataError: The file does not exist, or is not a synonym table.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("format") != _FORMAT:
                    raise KeyError("format")
                return cls(
                    keys=file.get_tensor("keys"),
                    vocabulary_size=int(header["vocabulary_size"]),
                    vocabulary_fingerprint=header["vocabulary_fingerprint"],
                    source=header["source"],
                    options=json.loads(header["options"]),
                    coverage=json.loads(header["coverage"]),
                )
        except FileNotFoundError:
            raise DataError(f"there is no synonym table at {path}", "check the path") from None
        except (SafetensorError, KeyError, OSError, json.JSONDecodeError) as error:
            raise DataError(
                f"{path} is not a synonym table ({error})", 'build one with "tellapart synonyms build"'
            ) from error

    def _keys_on(self, device: torch.device) -> Tensor:
        if device not in self._on_device:
            self._on_device[device] = self.keys.to(device)
        return self._on_device[device]


def build_wordnet_table(
    tokenizer: Any, wordnet: WordNet | None = None, *, stop_words: bool = True, symmetric: bool = False
) -> SynonymTable:
    """Builds the table from WordNet: V[w] are the lemmas of all synsets of w that are single tokens.

    All parts of speech count, and so do the base forms of w (see `WordNet.lemmas`); w itself is left out. The
    relation is not symmetric: *remain* is a synonym of *stayed*, whose base form shares a synset with it, but
    no lemma is an inflected form.

    Args:
        tokenizer: A Transformers tokeniser.
        wordnet: The WordNet to read; by default the installed one.
        stop_words: Whether to exclude English stop words, as gold and predicted tokens. Their synonyms are mostly
            symbols: *he* is helium, *in* is Indiana.
        symmetric: Whether to add the reverse of every pair.

    Raises:
        DataError: WordNet is not installed.
    """
    wordnet = wordnet or WordNet()
    words = candidate_words(tokenizer, stop_words=stop_words)
    related = {word: wordnet.lemmas(word) for word in words}
    return build_table(
        tokenizer,
        related,
        source=f"WordNet {wordnet.version}",
        options={"stop_words": stop_words, "symmetric": symmetric},
    )


@dataclass(frozen=True)
class WordSynonyms:
    """The synonyms V[word] of a word, and the words with it as synonym."""

    word: str
    synonyms: list[str]
    synonym_of: list[str]


def word_synonyms(table: SynonymTable, tokenizer: Any, word: str) -> WordSynonyms:
    """Looks up a word in a synonym table.

    Raises:
        DataError: The word is not a single token.
    """
    words = vocabulary_words(tokenizer)
    ids = [index for index, known in enumerate(words) if known == word.lower()]
    if not ids:
        raise DataError(
            f'"{word}" is not a single token of the vocabulary, so it is never masked as a word',
            "choose another word",
        )

    def spelt(others: list[int]) -> list[str]:
        return list(dict.fromkeys(words[other] or "" for other in others))

    return WordSynonyms(
        word,
        synonyms=spelt([other for index in ids for other in table.neighbours(index)]),
        synonym_of=spelt([other for index in ids for other in table.neighbour_of(index)]),
    )


def candidate_words(tokenizer: Any, *, stop_words: bool = True) -> list[str]:
    """Returns the words that are single tokens, sorted; `stop_words` excludes English stop words."""
    excluded = ENGLISH_STOP_WORDS if stop_words else frozenset()
    return sorted({word for word in vocabulary_words(tokenizer) if word is not None} - excluded)


def build_table(
    tokenizer: Any,
    related: Mapping[str, Collection[str]],
    *,
    source: str,
    options: Mapping[str, Any] | None = None,
) -> SynonymTable:
    """Builds a table from any relation between words, such as a domain-specific thesaurus.

    Args:
        tokenizer: A Transformers tokeniser. Tokens that differ only in case are treated as the same word.
        related: The synonyms of each word, all in lower case. Words that are not single tokens are ignored.
        source: The table's `source`.
        options: `stop_words` (True by default) excludes English stop words, as gold and predicted tokens. `symmetric`
            (False by default) adds the reverse of every pair. All options are stored in the table.
    """
    options = {"stop_words": True, "symmetric": False} | dict(options or {})
    words = vocabulary_words(tokenizer)
    ids: dict[str, list[int]] = {
        word: [] for word in candidate_words(tokenizer, stop_words=options["stop_words"])
    }
    for index, word in enumerate(words):
        if word in ids:
            ids[word].append(index)
    pairs = {
        pair
        for word, golds in ids.items()
        for other in related.get(word, ())
        if other != word and other in ids
        for pair in itertools.product(golds, ids[other])
    }
    if options["symmetric"]:
        pairs |= {(predicted, gold) for gold, predicted in pairs}
    return SynonymTable(
        keys=torch.tensor(
            sorted(gold * len(words) + predicted for gold, predicted in pairs), dtype=torch.int64
        ),
        vocabulary_size=len(words),
        vocabulary_fingerprint=vocabulary_fingerprint(tokenizer),
        source=source,
        options=options,
        coverage={
            "vocabulary": len(words),
            "stop_words": sum(word is not None and word not in ids for word in words),
            "in_source": sum(len(golds) for word, golds in ids.items() if related.get(word)),
        },
    )
