"""HTML of answers and explanations; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tellapart.inspection.page import render
from tellapart.inspection.word_effects import WordEffects
from tellapart.inspection.word_page import (
    SIGNED_SHARE,
    Marked,
    marked_texts,
    method_sentence,
    signed,
    summary,
)
from tellapart.playground.model import Answer, PlaygroundModel
from tellapart.playground.training_texts import NearestText

_TEMPLATES = "playground/templates/"

WORDS_LISTED = 6
"""Words for and against that are listed with their effects below the text."""


@dataclass(frozen=True)
class WordsPart:
    """The words of a text as a page shows them.

    Args:
        marked: The pieces of the text, and of the second one of a pair.
        lists: Meaning of a sign to the words with it and their effects, the strongest first.
        summary: The explained number, as a sentence.
        method: How effects were computed, as a sentence.
        message: Why there are none, as a sentence.
    """

    marked: Sequence[Sequence[Marked]] = ()
    lists: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    summary: str = ""
    method: str = ""
    message: str = ""


@dataclass(frozen=True)
class NearestPart:
    """Nearest training texts as a page shows them.

    Args:
        note: How they were found, or why there are none, as a sentence.
        texts: The texts, the nearest first.
    """

    note: str
    texts: Sequence[NearestText] = ()


def answers_html(models: Sequence[PlaygroundModel], answers: Sequence[Answer]) -> str:
    """Returns the answers of the models side by side."""
    columns = [(model.name, model, answer) for model, answer in zip(models, answers, strict=True)]
    return render(_TEMPLATES + "answers.html", columns=columns, percent=percent)


def reasons_html(words: Sequence[tuple[str, WordsPart]], nearest: Sequence[tuple[str, NearestPart]]) -> str:
    """Returns the explanations of the models side by side.

    Args:
        words: Name of a model and its words.
        nearest: Name of a model and its nearest training texts; one without a name if they are those of all models.
    """
    return render(_TEMPLATES + "reasons.html", words_of=words, nearest=nearest, signed_share=SIGNED_SHARE)


def message_html(sentence: str) -> str:
    """Returns a sentence on what cannot be answered."""
    return render(_TEMPLATES + "message.html", sentence=sentence)


def heading_html(*, local: bool) -> str:
    """Returns the heading of the page; `local` if only this machine can reach it."""
    return render(_TEMPLATES + "heading.html", local=local)


@cache
def style() -> str:
    """Returns the style sheet of what this module renders."""
    return (files("tellapart") / _TEMPLATES / "playground.css").read_text(encoding="utf-8")


def words_part(one: WordEffects) -> WordsPart:
    """Returns the words of a text with their effects, also in words: colours are not the only sign."""
    if one.regression:
        meanings = ("Raise the number:", "Lower it:")
    else:
        meanings = (
            f"For {one.label}:",
            f"Against {one.label}:" if one.against is None else f"For {one.against}:",
        )
    pairs = list(zip(one.words, one.effects, strict=True))
    return WordsPart(
        marked_texts(one),
        [
            (meanings[0], _strongest([pair for pair in pairs if pair[1] > 0])),
            (meanings[1], _strongest([pair for pair in pairs if pair[1] < 0])),
        ],
        _capitalised(summary(one)),
        method_sentence([one]),
    )


def percent(share: float) -> str:
    """Returns a probability as a percentage that is 0 or 100 only if it is exactly so."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def _strongest(pairs: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    return [
        (word, signed(effect))
        for word, effect in sorted(pairs, key=lambda pair: -abs(pair[1]))[:WORDS_LISTED]
    ]


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
