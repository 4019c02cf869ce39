"""Deterministic synonym replacement with WordNet, depending only on the seed and the text."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tellapart.errors import UserError
from tellapart.wordnet.morphology import inflected, inflection_of
from tellapart.wordnet.reader import Reading, WordNet
from tellapart.wordnet.stop_words import ENGLISH_STOP_WORDS

DOMINANT = 0.9
"""Minimum share of a word's tagged occurrences that its part of speech must have."""

DOMINANT_SENSE = 0.75
"""Minimum share of these occurrences that the most frequent sense must have."""

SHORTEST = 3
"""Minimum length of a replaced word in letters."""

# Pronouns, numbers and other closed classes that stop word lists leave out and WordNet takes for nouns or verbs.
_CLOSED_CLASSES = """
someone somebody something anyone anybody anything everyone everybody everything nobody nothing naught none us
one two three four five six seven eight nine ten hundred thousand million may might must shall would could ought
upon despite until unto though although whether unless yet please thanks
"""
_FUNCTION_WORDS = ENGLISH_STOP_WORDS | frozenset(_CLOSED_CLASSES.split())

# A word, with its apostrophes and hyphens, that is no part of an address, a path or a name with digits.
_WORD = re.compile(r"(?<![\w@/\\#.])[^\W\d_]+(?:['’-][^\W\d_]+)*(?![\w@/\\#]|\.\w)")
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_VOWELS = "aeiou"


@dataclass(frozen=True)
class Swap:
    """A replaced word.

    Args:
        start: Character offset in the original text.
        original: The replaced word.
        synonym: The replacement.
    """

    start: int
    original: str
    synonym: str


class SynonymSwaps:
    """Replaces words by WordNet synonyms of their most frequent sense, where rules ensure that they fit.

    A word is left as it is unless it is written in small letters, is no function word, and its part of speech and
    sense are sure: in WordNet's tagged texts one part of speech has 90 % of its occurrences and one sense 75 % of
    these; a word that was never met has to have synsets of one part of speech alone, and is taken in its first sense.
    Its synonyms are single words of that synset, of which it is the sure sense too, and which the tagged texts have.
    They are brought into the word's own form by rule; a form that no rule is sure of is left out, and so is a synonym
    that would need another article.

    After Ren et al. 2019 (Generating Natural Language Adversarial Examples through Probability Weighted Word
    Saliency), but blind: which words are swapped does not depend on any model. What is chosen depends on the seed and
    the text alone, by a hash.

    Args:
        wordnet: Source of the synonyms.
        share: Maximum share of a text's words to replace, 0 to 1.
        seed: Seed of the choice of words.
        protected: Words that are neither replaced nor inserted, in any inflection; see `label_words`.

    Raises:
        UserError: `share` does not lie between 0 and 1.

    Example:
        >>> swaps = SynonymSwaps(WordNet(), share=0.2, protected=label_words(["lost card"]))
        >>> text, made = swaps("please purchase a new card")
    """

    def __init__(
        self, wordnet: WordNet, *, share: float = 0.1, seed: int = 0, protected: Collection[str] = ()
    ) -> None:
        if not 0 < share <= 1:
            raise UserError(f"a share of {share} of the words cannot be swapped", "give one above 0, up to 1")
        self._wordnet, self._share, self._seed = wordnet, share, seed
        self._protected = self._with_bases(protected)
        self._synonyms = functools.cache(self._find_synonyms)

    def __call__(
        self, text: str, *, keep: Sequence[tuple[int, int]] = (), protected: Collection[str] = ()
    ) -> tuple[str, list[Swap]]:
        """Replaces words of a text by synonyms.

        Args:
            text: The text.
            keep: Character spans (start, end) in which no word is replaced.
            protected: Additional words that are neither replaced nor inserted, in any inflection.

        Returns:
            The changed text and its swaps in order; the text itself if there are none.
        """
        words = list(_WORD.finditer(text))
        own = hashlib.sha256(f"{self._seed}\n{text}".encode()).hexdigest()
        also = self._with_bases(protected)
        candidates = []
        for before, word in zip([None, *words], words, strict=False):
            if any(word.start() < end and start < word.end() for start, end in keep):
                continue
            fitting = self._fitting(text, before, word, also)
            if fitting:
                digest = hashlib.sha256(f"{own}\n{word.start()}".encode()).digest()
                candidates.append((digest, word, fitting))
        allowed = int(self._share * len(words) + 1e-9)
        swaps = [
            Swap(word.start(), word.group(), fitting[int.from_bytes(digest[-4:], "big") % len(fitting)])
            for digest, word, fitting in sorted(candidates, key=lambda candidate: candidate[0])[:allowed]
        ]
        swaps.sort(key=lambda swap: swap.start)
        return _swapped(text, swaps), swaps

    def _fitting(
        self, text: str, before: re.Match[str] | None, word: re.Match[str], protected: Collection[str]
    ) -> list[str]:
        """Returns the synonyms of a word that fit its context."""
        written = word.group()
        if not (written.isascii() and written.isalpha() and written.islower() and len(written) >= SHORTEST):
            return []
        synonyms = self._synonyms(written)
        if protected and synonyms:
            if self._has_form_in(written, protected):
                return []
            synonyms = [one for one in synonyms if not self._has_form_in(one, protected)]
        if before and before.group().lower() in ("a", "an") and text[before.end() : word.start()].isspace():
            synonyms = [one for one in synonyms if (one[0] in _VOWELS) == (written[0] in _VOWELS)]
        return synonyms

    def _with_bases(self, words: Iterable[str]) -> frozenset[str]:
        """Returns the lower-cased words with all their possible base forms."""
        small = {word.lower() for word in words}
        return frozenset(small | {reading.base for word in small for reading in self._wordnet.readings(word)})

    def _has_form_in(self, word: str, protected: Collection[str]) -> bool:
        return any(one in protected for one in (word, *(one.base for one in self._wordnet.readings(word))))

    def _find_synonyms(self, word: str) -> list[str]:
        if word in _FUNCTION_WORDS:
            return []
        readings = self._wordnet.readings(word)
        reading = _sure_reading(readings)
        if reading is None or self._is_protected(word, readings):
            return []
        inflection = inflection_of(word, reading.base, reading.part, self._wordnet)
        if inflection is None:
            return []
        return [
            form
            for lemma in dict.fromkeys(reading.synsets[0])
            if lemma != reading.base and self._means_first_of_all(lemma, reading)
            if (form := inflected(lemma, reading.part, inflection, self._wordnet)) is not None
            and form != word
        ]

    def _means_first_of_all(self, lemma: str, reading: Reading) -> bool:
        """Whether a lemma is a single, unprotected word whose most frequent sense is that of the reading."""
        if not (lemma.isascii() and lemma.isalpha()) or lemma in _FUNCTION_WORDS:
            return False
        readings = self._wordnet.readings(lemma)
        own = _sure_reading(readings)
        return (
            own is not None
            and (own.base, own.part, own.synsets[0]) == (lemma, reading.part, reading.synsets[0])
            and (own.count > 0 or not self._wordnet.counts_senses)
            and not self._is_protected(lemma, readings)
        )

    def _is_protected(self, word: str, readings: Iterable[Reading]) -> bool:
        return not self._protected.isdisjoint({word, *(reading.base for reading in readings)})


def label_words(names: Iterable[str]) -> set[str]:
    """Returns the lower-cased words in class names: `lost_card` and `LostCard` both contain two."""
    return {part.lower() for name in names for part in _NAME_PART.findall(name)}


def _sure_reading(readings: list[Reading]) -> Reading | None:
    """Returns the dominant reading of a word; None if its part of speech or sense is ambiguous."""
    met = sum(reading.count for reading in readings)
    if met:
        readings = [reading for reading in readings if reading.count >= DOMINANT * met]
    if len(readings) != 1 or readings[0].counts[0] < DOMINANT_SENSE * readings[0].count:
        return None
    return readings[0]


def _swapped(text: str, swaps: list[Swap]) -> str:
    parts, end = [], 0
    for swap in swaps:
        parts += [text[end : swap.start], swap.synonym]
        end = swap.start + len(swap.original)
    return "".join([*parts, text[end:]])
