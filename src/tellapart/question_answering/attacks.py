"""Attacks on extractive question answering: change the texts without changing the answers."""

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
        examples: The questions in their order; unchanged where no rule applies.
        changes: Number of replaced words or added sentences per question; 0 if unchanged.
    """

    examples: tuple[SquadExample, ...]
    changes: tuple[int, ...]


def swapped_context(example: SquadExample, swap: SynonymSwaps) -> tuple[SquadExample, list[Swap]]:
    """Replaces words of a question's text by synonyms; the question itself is unchanged.

    Words of the answers, in any form, are neither replaced nor inserted anywhere in the text: the answer must stay
    the same, and must not occur a second time.

    Args:
        example: The question.
        swap: Replaces words by synonyms.

    Returns:
        The question with answers at their new positions, and the swaps in their order.
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
    """Applies an attack to all questions of a file.

    Args:
        examples: The questions.
        attack: `swap-synonyms`, see `swapped_context`; or `add-sentence`, see `Distractors`.
        wordnet: Source of synonyms and of verbs.
        share: Largest share of a text's words that is replaced. Synonyms only.
        seed: Seed of the choice of words, names and answers.
        protected: Words that are never replaced, besides those of the answers. Synonyms only.

    Raises:
        UserError: `share` is not between 0 and 1.
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
    """Returns by how many characters the swaps before a position move it."""
    return sum(len(swap.synonym) - len(swap.original) for swap in swaps if swap.start < place)
