"""The table of synonyms that tells a false negative: which predictions are as good as the word that was masked."""

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
    """The lookup table V of the paper: for a gold token w the tokens V[w] that are its synonyms.

    Args:
        keys: `gold * vocabulary_size + predicted` for every pair, int64 (N,), strictly increasing.
        vocabulary_size: The number of token ids.
        vocabulary_fingerprint: See `tellapart.pretraining.vocabulary`.
        source: Where the synonyms come from, such as `WordNet 3.0`.
        options: How they were chosen: `stop_words`, `symmetric` and what else the source has.
        coverage: How many tokens there are (`vocabulary`), are left out as `stop_words`, are known to the
            source (`in_source`).

    Raises:
        DataError: The keys are not sorted, or lie outside of the vocabulary.

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
            raise DataError("the synonym table is damaged (its keys are not sorted ids)", "build it again")

    def __len__(self) -> int:
        return len(self.keys)

    def contains(self, gold: Tensor, predicted: Tensor) -> Tensor:
        """Tells where the predicted token is a synonym of the gold one.

        Args:
            gold: Token ids, an integer tensor of any shape. What is no id, as -100, has no synonyms.
            predicted: Token ids of the same shape on the same device. An output of the model beyond the
                vocabulary is no synonym.

        Returns:
            bool, of the same shape. A token is no synonym of itself.
        """
        size, keys = self.vocabulary_size, self._keys_on(gold.device)
        ids = (gold >= 0) & (gold < size) & (predicted >= 0) & (predicted < size)
        if not len(keys):
            return torch.zeros_like(ids)
        wanted = (gold.long() * size + predicted).contiguous()
        places = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return (keys[places] == wanted) & ids

    def neighbours(self, gold: int) -> list[int]:
        """Returns V[gold]: the token ids that are synonyms of a gold token, in increasing order."""
        start, end = torch.searchsorted(self.keys, torch.tensor([gold, gold + 1]) * self.vocabulary_size)
        return (self.keys[start:end] - gold * self.vocabulary_size).tolist()

    def neighbour_of(self, predicted: int) -> list[int]:
        """Returns the gold tokens of which a predicted token is a synonym, in increasing order."""
        return (self.keys[self.keys % self.vocabulary_size == predicted] // self.vocabulary_size).tolist()

    def stats(self) -> dict[str, int]:
        """Returns how much of the vocabulary the table covers.

        Returns:
            `vocabulary`, `stop_words` (tokens left out), `in_source` (other tokens that the source knows),
            `with_synonyms` (tokens with at least one synonym that is a token) and `pairs`.
        """
        golds = torch.unique(self.keys // self.vocabulary_size)
        return {**self.coverage, "with_synonyms": len(golds), "pairs": len(self)}

    def require_vocabulary(self, tokenizer: Any) -> None:
        """Checks that the table was built for a tokeniser's vocabulary.

        Raises:
            ModelError: It was built for another one.
        """
        fingerprint = vocabulary_fingerprint(tokenizer)
        if fingerprint != self.vocabulary_fingerprint:
            size = len(vocabulary_tokens(tokenizer))
            raise ModelError(
                f"the synonym table belongs to a vocabulary of {self.vocabulary_size:,} tokens "
                f"({self.vocabulary_fingerprint[:8]}), the encoder has one of {size:,} ({fingerprint[:8]})",
                'build one for it with "tellapart synonyms build --encoder NAME"',
            )

    def save(self, path: str | Path) -> None:
        """Writes the table as one safetensors file, with everything but the keys in its header.

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
        """Reads a table that `save` wrote.

        Raises:
            DataError: The file is not there, or is no synonym table.
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
                f"{path} is no synonym table ({error})", 'write one with "tellapart synonyms build"'
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
        wordnet: By default the one that is installed.
        stop_words: Leave English stop words out, as gold and as predicted tokens. Their synonyms are mostly
            symbols: *he* is helium, *in* is Indiana.
        symmetric: Add the opposite of every pair.

    Raises:
        DataError: WordNet is not there.
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
    """What a table says of a word: V[word], and the words that have it in theirs."""

    word: str
    synonyms: list[str]
    synonym_of: list[str]


def word_synonyms(table: SynonymTable, tokenizer: Any, word: str) -> WordSynonyms:
    """Looks a word up in the table of a tokeniser's vocabulary.

    Raises:
        DataError: The word is no single token.
    """
    words = vocabulary_words(tokenizer)
    ids = [index for index, known in enumerate(words) if known == word.lower()]
    if not ids:
        raise DataError(
            f'"{word}" is no single token of the vocabulary, so that it is never masked as a word',
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
    """Returns the words that are single tokens, sorted, without the English stop words if they are to be left out."""
    excluded = ENGLISH_STOP_WORDS if stop_words else frozenset()
    return sorted({word for word in vocabulary_words(tokenizer) if word is not None} - excluded)


def build_table(
    tokenizer: Any,
    related: Mapping[str, Collection[str]],
    *,
    source: str,
    options: Mapping[str, Any] | None = None,
) -> SynonymTable:
    """Builds a table from any relation between words, such as a thesaurus of one's own field.

    Args:
        tokenizer: A Transformers tokeniser. Where the vocabulary has a word in several casings, all its tokens
            take part.
        related: The synonyms of each word, all in lower case. Words that are no single token count for nothing.
        source: What the table is to say of its origin.
        options: `stop_words` (True by default): leave English stop words out on both sides. `symmetric` (False
            by default): add the opposite of every pair. All are kept with the table.
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
