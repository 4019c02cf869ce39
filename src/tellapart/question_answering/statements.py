"""Turns questions and answers into statements by rules over words, without a parser."""

from __future__ import annotations

import re
from collections.abc import Callable

from tellapart.wordnet.morphology import inflection_of
from tellapart.wordnet.reader import WordNet

_PREPOSITION_WORDS = """
about after against around at before between by during for from in into near of on over since through to towards under
until with within
"""
_DETERMINER_WORDS = """
a an the this that these those his her its their our my your no some any many most more all both each every first last
"""
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_NO_VERB_AFTER = _PREPOSITIONS | frozenset(_DETERMINER_WORDS.split())
_BE = frozenset(["is", "are", "was", "were"])
_DO = frozenset(["did", "does", "do"])
_HAVE = frozenset(["has", "have", "had"])
_MODALS = frozenset(["can", "could", "will", "would", "should", "may", "might", "must"])
_AUXILIARIES = _BE | _DO | _HAVE | _MODALS
_PRESENT = frozenset(["is", "are", "does", "do", "has", "have", "can", "will", "may", "must"])
_QUESTION = re.compile(
    r"(?:(?P<preposition>[a-z]+) )?(?P<wh>who|whom|what|which|when|where|how many|how much)\b ?(?P<rest>.+)",
    re.IGNORECASE,
)


def statement(question: str, answer: str, wordnet: WordNet) -> str | None:
    """Combines a question and an answer into a statement.

    - The question word is the subject (*Who wrote it?*, *Which team was beaten?*): the answer replaces it.
    - An auxiliary and a subject follow (*When did she leave Rome?*): *It was in 1880 that she did leave Rome.* The
      subject ends before the first word that WordNet counts mostly as a verb, in the form that the auxiliary
      requires.

    Args:
        question: Starts with who, what, which, when, where, how many or how much, or a preposition and one of these.
        answer: The answer.
        wordnet: Recognises verbs.

    Returns:
        One sentence; None for other questions, or if the subject cannot be determined.
    """
    found = _QUESTION.fullmatch(" ".join(question.split()).rstrip(" ?."))
    if found is None:
        return None
    preposition, wh = (found["preposition"] or "").lower(), found["wh"].lower()
    if preposition and preposition not in _PREPOSITIONS:
        return None
    words = found["rest"].split()
    auxiliary = next((place for place, word in enumerate(words) if word.lower() in _AUXILIARIES), None)
    # The words between "how many" and "did" are a noun, even if they look like a verb: how many sacks did he make?
    inverted = auxiliary is not None and words[auxiliary].lower() in _DO and wh != "who"
    before = [] if inverted else words[:auxiliary]
    subject_verb = _first(before, lambda word: _verb_form(word, wordnet) in ("s", "ed"), wh)
    counted = wh in ("how many", "how much")
    if subject_verb is not None and not preposition:
        noun = words[:subject_verb] if counted else []
        return _sentence([answer, *noun, *words[subject_verb:]])
    if auxiliary is None:
        return None
    noun, helper, rest = words[:auxiliary], words[auxiliary].lower(), words[auxiliary + 1 :]
    if helper in _BE and wh not in ("when", "where") and not preposition:
        return _sentence([answer, *(noun if counted else []), helper, *rest]) if rest else None
    split = _first(rest, lambda word: _follows(word, helper, wordnet), "")
    if split is None or split == 0:
        if helper not in _BE or not rest or wh not in ("when", "where"):
            return None
        split = len(rest)
    place = preposition or ("in" if wh in ("when", "where") else "")
    if answer.split()[0].lower() in _PREPOSITIONS:
        place = ""
    said = ["It", "is" if helper in _PRESENT else "was", place, answer, *(noun if counted else [])]
    return _sentence([*said, "that", *rest[:split], helper, *rest[split:]])


def _first(words: list[str], is_verb: Callable[[str], bool], wh: str) -> int | None:
    """Index of the first verb; a word after a determiner or a preposition is none."""
    for place, word in enumerate(words):
        before = words[place - 1].lower() if place else wh
        if before not in _NO_VERB_AFTER and is_verb(word):
            return place
    return None


def _follows(word: str, auxiliary: str, wordnet: WordNet) -> bool:
    """Whether a word is mostly a verb, in the form that the auxiliary requires."""
    form = _verb_form(word, wordnet)
    if auxiliary in _BE:
        return form in ("ed", "ing")
    return form == ("ed" if auxiliary in _HAVE else "base")


def _verb_form(word: str, wordnet: WordNet) -> str | None:
    """Verb form of a word that is a verb in at least half of its counted uses."""
    if not word.islower():
        return None
    readings = wordnet.readings(word)
    verbs = [reading for reading in readings if reading.part == "verb"]
    as_verb, met = sum(verb.count for verb in verbs), sum(reading.count for reading in readings)
    if not verbs or 2 * as_verb < met:
        return None
    forms = {inflection_of(word, verb.base, "verb", wordnet) for verb in verbs} - {None}
    return forms.pop() if len(forms) == 1 else None


def _sentence(words: list[str]) -> str:
    text = " ".join(word for word in words if word)
    return text[:1].upper() + text[1:] + "."
