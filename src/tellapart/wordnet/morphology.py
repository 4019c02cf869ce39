"""Inflection of English words by rules and WordNet's exception lists."""

from __future__ import annotations

import re
from typing import Literal

from tellapart.wordnet.reader import WordNet

Inflection = Literal["base", "s", "ed", "ing"]
"""Base form; plural or third person; past or past participle; -ing form."""

_INFLECTIONS: dict[str, tuple[Inflection, ...]] = {
    "noun": ("base", "s"),
    "verb": ("base", "s", "ed", "ing"),
    "adj": ("base",),
    "adv": ("base",),
}

# Verbs whose past tense equals the base form, which the exception lists lack.
_PAST_LIKE_PRESENT = """
bet bid broadcast burst bust cast cost cut fit forecast hit hurt input knit let offset output put quit read reset
rid set shed shut slit split spread sweat thrust upset wed wet
"""
_OWN_PAST = frozenset(_PAST_LIKE_PRESENT.split())


def inflection_of(form: str, base: str, part: str, wordnet: WordNet) -> Inflection | None:
    """Returns the inflection of a word.

    Args:
        form: The word, in lower case.
        base: Its base form.
        part: Its part of speech: `noun`, `verb`, `adj` or `adv`.
        wordnet: Provides the exception lists.

    Returns:
        None for other inflections (`better`) and ambiguous ones (`put`, base form or past).
    """
    if part == "verb" and base in _OWN_PAST:
        return None
    found = [kind for kind in _INFLECTIONS[part] if form in _forms(base, part, kind, wordnet)]
    return found[0] if len(found) == 1 else None


def inflected(base: str, part: str, inflection: Inflection, wordnet: WordNet) -> str | None:
    """Returns an inflected form; None if there are several, such as a past that differs from the participle.

    Args:
        base: A base form, in lower case.
        part: Its part of speech.
        inflection: The inflection.
        wordnet: Provides the exception lists.
    """
    forms = _forms(base, part, inflection, wordnet)
    return forms[0] if len(forms) == 1 else None


def _forms(base: str, part: str, inflection: Inflection, wordnet: WordNet) -> tuple[str, ...]:
    """Returns the irregular forms from the exception lists, else the regular form.

    The lists have every verb that doubles a consonant, since morphy has no rule for them.
    """
    if inflection == "base":
        return (base,)
    listed = wordnet.irregular_forms(base, part)
    if part == "verb":
        listed = tuple(form for form in listed if _kind_of_verb_form(form) == inflection)
    return listed or (_regular(base, part, inflection),)


def _kind_of_verb_form(form: str) -> Inflection:
    if form.endswith("ing"):
        return "ing"
    return "s" if form.endswith("s") else "ed"


def _regular(base: str, part: str, inflection: Inflection) -> str:
    if inflection == "s":
        if re.search(r"[^aeiou]y$", base):
            return base[:-1] + "ies"
        hissing = r"(s|x|z|ch|sh)$" if part == "noun" else r"(s|x|z|ch|sh|[^aeiou]o)$"  # heroes are listed
        return base + ("es" if re.search(hissing, base) else "s")
    if inflection == "ed":
        if re.search(r"[^aeiou]y$", base):
            return base[:-1] + "ied"
        return base + ("d" if base.endswith("e") else "ed")
    if base.endswith("ie"):
        return base[:-2] + "ying"
    return (base[:-1] if re.search(r"[^eoy]e$", base) else base) + "ing"
