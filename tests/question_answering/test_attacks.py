from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import UserError
from tellapart.evaluation.synonym_swaps import SynonymSwaps
from tellapart.question_answering.attacks import attacked_examples, swapped_context
from tellapart.question_answering.distractors import Distractors
from tellapart.question_answering.squad import SquadAnswer, SquadExample
from tellapart.wordnet.reader import WordNet


@pytest.fixture(scope="module")
def wordnet(wordnet) -> WordNet:
    return WordNet(wordnet)


def example(context: str, *answers: str, question: str = "what was lost today?") -> SquadExample:
    given = tuple(SquadAnswer(text, context.index(text)) for text in answers)
    return SquadExample("q", question, context, given)


def test_words_of_the_text_are_swapped_and_the_answers_stand_where_they_now_are(wordnet):
    before = example("today my card was lost and my keys were lost in Ulm", "Ulm", "my keys")
    after, swaps = swapped_context(before, SynonymSwaps(wordnet, share=1))
    assert after.context == "nowadays my card was misplaced and my keys were misplaced in Ulm"
    assert [(swap.start, swap.original, swap.synonym) for swap in swaps] == [
        (0, "today", "nowadays"),
        (18, "lost", "misplaced"),
        (40, "lost", "misplaced"),
    ]
    assert after.answers == (SquadAnswer("Ulm", 61), SquadAnswer("my keys", 35))
    assert (after.id, after.question) == (before.id, before.question)


def test_words_of_an_answer_are_neither_replaced_nor_put_in_in_any_form(wordnet):
    swap = SynonymSwaps(wordnet, share=1)
    for context, answer in (
        ("it was lost, then a card was lost today", "was lost"),  # once in the answer, once elsewhere
        ("it was misplaced, then a card was lost today", "misplaced"),  # it would become a second answer
        ("to lose it: a card was lost today", "lose"),  # another form
    ):
        after, swaps = swapped_context(example(context, answer), swap)
        assert [one.original for one in swaps] == ["today"], context
        assert after.context == context.replace("today", "nowadays")


def test_an_answer_that_is_not_where_the_file_says_moves_along_all_the_same(wordnet):
    misplaced = SquadExample("q", "?", "today it rains", (SquadAnswer("rains", 8),))
    after, _ = swapped_context(misplaced, SynonymSwaps(wordnet, share=1))
    assert after.answers[0].start == 11


def test_at_most_the_share_of_the_words_is_swapped_and_the_seed_chooses_which(wordnet):
    context = " ".join(["today it was lost"] * 5)  # twenty words
    found = set()
    for seed in range(8):
        _, swaps = swapped_context(example(context), SynonymSwaps(wordnet, share=0.1, seed=seed))
        assert len(swaps) == 2
        found.add(tuple(swap.start for swap in swaps))
    assert len(found) > 1
    again = SynonymSwaps(wordnet, share=0.1, seed=3)
    assert swapped_context(example(context), again) == swapped_context(example(context), again)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(["today", "lost", "misplaced", "Ulm", "card", "a", "in", "."]),
        min_size=3,
        max_size=14,
    ),
    st.data(),
)
def test_the_answers_are_the_same_texts_at_their_new_places(wordnet, words, data):
    context = " ".join(words)
    answers = []
    for _ in range(data.draw(st.integers(0, 3))):
        first = data.draw(st.integers(0, len(words) - 1))
        last = data.draw(st.integers(first, min(first + 2, len(words) - 1)))
        start = len(" ".join(words[:first])) + (first > 0)
        answers.append(SquadAnswer(" ".join(words[first : last + 1]), start))
    before = SquadExample("q", "what?", context, tuple(answers))
    after, swaps = swapped_context(before, SynonymSwaps(wordnet, share=1))
    for old, new in zip(before.answers, after.answers, strict=True):
        assert new.text == old.text
        assert after.context[new.start : new.start + len(new.text)] == new.text
    kept = {word for answer in answers for word in re.findall(r"\w+", answer.text)}
    assert not kept & {word for swap in swaps for word in (swap.original, swap.synonym)}
    undone = list(after.context)
    for swap in reversed(swaps):
        place = swap.start + sum(
            len(one.synonym) - len(one.original) for one in swaps if one.start < swap.start
        )
        undone[place : place + len(swap.synonym)] = swap.original
    assert "".join(undone) == context


def test_all_questions_of_a_file_are_attacked_and_counted(wordnet):
    examples = [example("it was lost in Ulm, today", "Ulm"), example("nothing here", "nothing")]
    made = attacked_examples(examples, "swap-synonyms", wordnet, share=0.4, protected=["today"])
    assert made.changes == (1, 0)
    assert made.examples[0].context == "it was misplaced in Ulm, today"
    assert made.examples[1] == examples[1]
    other = attacked_examples(examples, "swap-synonyms", wordnet, share=0.4, seed=9)
    assert other.changes[0] == 2
    with pytest.raises(UserError, match="share"):
        attacked_examples(examples, "swap-synonyms", wordnet, share=0)


def test_added_sentences_are_those_of_the_distractors(wordnet):
    examples = [
        example("In 1897 Tesla left Vienna. It rained.", "1897", question="When did Tesla leave Vienna?"),
        example("In 1871 Edison came to Boston.", "1871", question="When did Edison come to Boston?"),
        example("nothing here", question="who?"),
    ]
    made = attacked_examples(examples, "add-sentence", wordnet, seed=2)
    distract = Distractors(examples, wordnet, seed=2)
    expected = [distract(one) for one in examples]
    assert made.changes == tuple(int(one is not None) for one in expected)
    assert made.examples == tuple(new or old for new, old in zip(expected, examples, strict=True))
    assert made.examples[2] == examples[2]
