"""Distracting sentences that resemble the answer to a question, inserted before the answer's sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence

from tellapart.question_answering.metrics import normalise_answer
from tellapart.question_answering.squad import SquadExample
from tellapart.question_answering.statements import statement
from tellapart.wordnet.reader import WordNet

_NUMBER_WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_NUMBER = re.compile(rf"\d+(?:,\d{{3}})*|\b(?:{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_NAME = re.compile(r"(?<!\w)[A-Z][\w.-]*\w(?:\s+(?:of\s+|the\s+|de\s+|van\s+|von\s+)?[A-Z][\w.-]*\w)*")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\]”\"]{2}[.!?])\s+(?=[\"“(\[]?[A-Z0-9])")
_TRIES = 50


class Distractors:
    """Adds a distracting sentence to the text of a question without changing its answer.

    Follows AddSent (Jia and Liang 2017, arXiv:1707.07328, §3.2) with rules only, without human correction: numbers
    and names of the question are replaced, which makes it a different question; a fake answer of the same kind is
    chosen; both are combined into a statement, see `tellapart.question_answering.statements`. Names and fake answers
    come from other texts of the file. The sentence is inserted before the one with the answer, not at the end.

    A question is unchanged if it has no number or name, if no rule turns it into a statement, if the file has no
    other answer of the same kind, or if it has no answer.

    Args:
        examples: The questions of the file, the source of names and answers.
        wordnet: Recognises verbs.
        seed: Seed of the choice of names and answers.

    Example:
        >>> distract = Distractors(examples, WordNet())
        >>> harder = distract(examples[0])
    """

    def __init__(self, examples: Sequence[SquadExample], wordnet: WordNet, *, seed: int = 0) -> None:
        self._wordnet, self._seed = wordnet, seed
        answers = {answer.text for example in examples for answer in example.answers[:1]}
        self._answers: dict[str, list[str]] = {}
        for answer in sorted(answers):
            self._answers.setdefault(_kind(answer), []).append(answer)
        names = {name for example in examples for name in _names(example.question)}
        self._names = sorted(names)

    def __call__(self, example: SquadExample) -> SquadExample | None:
        """Returns the example with the longer text and shifted answers; None if it is unchanged."""
        if not example.answers:
            return None
        place = _sentence_start(example.context, example.answers[0].start)
        if any(answer.start < place < answer.start + len(answer.text) for answer in example.answers):
            return None
        question, answer = self._other_question(example), self._other_answer(example)
        if question is None or answer is None:
            return None
        sentence = statement(question, answer, self._wordnet)
        if sentence is None or _has_answer(sentence, example):
            return None
        added = sentence + " "
        moved = tuple(
            dataclasses.replace(answer, start=answer.start + (len(added) if answer.start >= place else 0))
            for answer in example.answers
        )
        context = example.context[:place] + added + example.context[place:]
        return dataclasses.replace(example, context=context, answers=moved)

    def _other_question(self, example: SquadExample) -> str | None:
        """The question with other numbers and names; None if it has none."""
        question = example.question.strip()
        changed = question
        for number, name in enumerate(_names(question)):
            other = self._draw(self._names, example, f"name {number}", size=len(name.split()))
            if other is not None:
                changed = changed.replace(name, other)
        changed = _NUMBER.sub(
            lambda found: _other_number(found.group(), self._hash(example, found.group())), changed
        )
        return changed if changed != question else None

    def _other_answer(self, example: SquadExample) -> str | None:
        gold = example.answers[0].text
        kind = _kind(gold)
        if kind == "number":
            return _NUMBER.sub(
                lambda found: _other_number(found.group(), self._hash(example, "answer")), gold
            )
        return self._draw(self._answers.get(kind, []), example, "answer", size=len(gold.split()))

    def _draw(self, pool: Sequence[str], example: SquadExample, purpose: str, size: int) -> str | None:
        """A candidate that does not occur in the text, preferably with `size` words."""
        context, longer = example.context.lower() + " " + example.question.lower(), None
        start = self._hash(example, purpose)
        for step in range(min(_TRIES, len(pool))):
            candidate = pool[(start + step) % len(pool)]
            if candidate.lower() not in context:
                if len(candidate.split()) == size:
                    return candidate
                longer = longer or candidate
        return longer

    def _hash(self, example: SquadExample, purpose: str) -> int:
        digest = hashlib.sha256(f"{self._seed}\n{example.id}\n{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big")


def _names(question: str) -> Iterator[str]:
    """Yields runs of capitalised words of a question, except its first word."""
    first = re.match(r"\W*\w+", question)
    for found in _NAME.finditer(question, first.end() if first else 0):
        yield found.group()


def _kind(answer: str) -> str:
    """Kind of an answer: answers of one kind are interchangeable."""
    if _NUMBER.search(answer):
        return "number"
    return "name" if answer[:1].isupper() else "phrase"


def _other_number(number: str, draw: int) -> str:
    """Another number close to the first, with the same number of digits, or as a word."""
    step = 1 + draw % 9
    if number.lower() in _NUMBER_WORDS:
        other = _NUMBER_WORDS[(_NUMBER_WORDS.index(number.lower()) + step) % len(_NUMBER_WORDS)]
        return other.capitalize() if number[0].isupper() else other
    digits = number.replace(",", "")
    other = str((int(digits) + step) % 10 ** len(digits)).zfill(len(digits))
    return f"{int(other):,}" if "," in number else other


def _sentence_start(context: str, place: int) -> int:
    """Start of the sentence that contains a character."""
    ends = [found.end() for found in _SENTENCE_END.finditer(context) if found.end() <= place]
    return ends[-1] if ends else 0


def _has_answer(sentence: str, example: SquadExample) -> bool:
    words = f" {normalise_answer(sentence)} "
    return any(f" {normalise_answer(answer.text)} " in words for answer in example.answers)
