"""Attacks on questions about texts: the texts are changed, and the answers stay what and where they are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tellapart.evaluation.robustness import Attack
from tellapart.evaluation.synonym_swaps import Swap, SynonymSwaps
from tellapart.question_answering.distractors import Distractors
from tellapart.question_answering.squad import SquadExample
from tellapart.wordnet.reader import WordNet


@dataclass(frozen=True)
class AttackedExamples:
    """Questions after an attack.

    Args:
        examples: The questions, as they are now, in their order; one that no rule fits is as it was.
        changes: How much of the text of each was changed, in words or sentences; 0 where it is as it was.
    """

    examples: tuple[SquadExample, ...]
    changes: tuple[int, ...]


def swapped_context(example: SquadExample, swap: SynonymSwaps) -> tuple[SquadExample, list[Swap]]:
    """Replaces words of the text that a question asks about; the question stays as it is.

    No word of an answer is replaced. Nor is any form of its words, or put in, elsewhere in the text: the answer must
    not become another one, and no second one appear.

    Args:
        example: The question.
        swap: What replaces words.

    Returns:
        The question with its answers where they now are, and the swaps in their order.
    """
    places = [(answer.start, answer.start + len(answer.text)) for answer in example.answers]
    words = {word for answer in example.answers for word in re.findall(r"\w+", answer.text)}
    context, swaps = swap(example.context, keep=places, protected=words)
    answers = tuple(
        dataclasses.replace(answer, start=answer.start + _shift(swaps, answer.start))
        for answer in example.answers
    )
    return dataclasses.replace(example, context=context, answers=answers), swaps


def attacked_examples(
    examples: Sequence[SquadExample],
    attack: Attack,
    wordnet: WordNet,
    *,
    share: float = 0.1,
    seed: int = 0,
    protected: Sequence[str] = (),
) -> AttackedExamples:
    """Does to all questions of a file what an attack does.

    Args:
        examples: The questions.
        attack: `swap-synonyms`, see `swapped_context`; or `add-sentence`, see `Distractors`.
        wordnet: Where synonyms are, and what tells verbs.
        share: Of a text's words, at most so many are replaced. Synonyms only.
        seed: Another one chooses other words, names and answers.
        protected: Words that stay, besides those of the answers. Synonyms only.

    Raises:
        UserError: `share` does not lie between 0 and 1.
    """
    if attack == "add-sentence":
        distract = Distractors(examples, wordnet, seed=seed)
        longer = [distract(example) for example in examples]
        return AttackedExamples(
            tuple(after or before for before, after in zip(examples, longer, strict=True)),
            tuple(int(after is not None) for after in longer),
        )
    swap = SynonymSwaps(wordnet, share=share, seed=seed, protected=protected)
    made = [swapped_context(example, swap) for example in examples]
    return AttackedExamples(tuple(example for example, _ in made), tuple(len(swaps) for _, swaps in made))


def _shift(swaps: Sequence[Swap], place: int) -> int:
    """How many characters a place moves by what was swapped before it."""
    return sum(len(swap.synonym) - len(swap.original) for swap in swaps if swap.start < place)
