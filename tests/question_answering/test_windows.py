from __future__ import annotations

import itertools

import pytest
from transformers import AutoTokenizer

from tellapart.errors import ModelError, RecipeError
from tellapart.question_answering.squad import SquadAnswer, SquadExample
from tellapart.question_answering.windows import qa_windows

CONTEXT = (
    "my card was lost today. the debit card has expired in town. her credit card was stolen since monday."
)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def _example(*answers: str, question: str = "was my card lost?") -> SquadExample:
    return SquadExample(
        "q", question, CONTEXT, tuple(SquadAnswer(text, CONTEXT.index(text)) for text in answers)
    )


def _texts(windows, number: int) -> list[str]:
    """What the tokens of a window stand for, the text's alone."""
    return [CONTEXT[a:b] for a, b in windows.offsets[windows.tokens(number)] if b > a]


def test_windows_cover_the_whole_text_and_share_what_was_asked_for(tokenizer):
    windows = qa_windows([_example(), _example()], tokenizer, max_length=24, stride=4)
    assert max(windows.lengths) <= 24
    assert windows.examples.tolist() == sorted(windows.examples.tolist())
    whole = qa_windows([_example()], tokenizer, max_length=64, stride=4)
    assert len(whole) == 1
    own = [_texts(windows, number) for number in range(len(windows)) if windows.examples[number] == 0]
    assert len(own) > 1
    joined = own[0] + [word for window in own[1:] for word in window[4:]]
    assert joined == _texts(whole, 0)
    assert all(before[-4:] == after[:4] for before, after in itertools.pairwise(own))


def test_an_answer_is_where_its_characters_are_and_elsewhere_there_is_none(tokenizer):
    windows = qa_windows(
        [_example("expired in town", "today")], tokenizer, max_length=24, stride=8, with_answers=True
    )
    found = []
    for number in range(len(windows)):
        batch = windows.batch([number])
        start, end = int(batch["start_positions"]), int(batch["end_positions"])
        spans = windows.offsets[windows.tokens(number)]
        if spans[start, 0] < 0:
            assert (start, end) == (windows.no_answer[number], windows.no_answer[number])
            words = _texts(windows, number)
            assert not {"expired", "town"} <= set(words)
        else:
            found.append(CONTEXT[spans[start, 0] : spans[end, 1]])
    assert found
    assert set(found) == {"expired in town"}  # the first answer, whole


def test_a_question_without_an_answer_points_to_the_first_token(tokenizer):
    batch = qa_windows([_example()], tokenizer, max_length=64, stride=8, with_answers=True).batch([0])
    assert (int(batch["start_positions"]), int(batch["end_positions"])) == (0, 0)
    assert int(batch["input_ids"][0, 0]) == tokenizer.cls_token_id
    assert "labels" not in batch


def test_a_part_of_a_word_points_to_the_tokens_that_hold_it(tokenizer):
    example = SquadExample("q", "?", "card expired today", (SquadAnswer("expire", 5),))
    windows = qa_windows([example], tokenizer, max_length=32, stride=4, with_answers=True)
    batch = windows.batch([0])
    spans = windows.offsets[windows.tokens(0)]
    start, end = spans[int(batch["start_positions"])], spans[int(batch["end_positions"])]
    assert start[0] <= 5
    assert end[1] >= 11


@pytest.mark.parametrize("answer", ["expired in", "expired in ", " expired in", " expired in "])
def test_white_space_around_an_answer_changes_nothing(tokenizer, answer):
    windows = qa_windows([_example(answer)], tokenizer, max_length=64, stride=4, with_answers=True)
    batch, spans = windows.batch([0]), windows.offsets[windows.tokens(0)]
    start, end = spans[int(batch["start_positions"]), 0], spans[int(batch["end_positions"]), 1]
    assert CONTEXT[start:end] == "expired in"


def test_an_answer_of_white_space_is_none(tokenizer):
    windows = qa_windows([_example(" ")], tokenizer, max_length=64, stride=4, with_answers=True)
    batch = windows.batch([0])
    assert (int(batch["start_positions"]), int(batch["end_positions"])) == (0, 0)


def test_a_long_question_is_cut_and_the_text_is_not(tokenizer):
    windows = qa_windows([_example(question="was " * 200)], tokenizer, max_length=40, stride=4)
    ids = windows.batch([0])["input_ids"][0].tolist()
    assert ids.index(tokenizer.sep_token_id) == 11  # a quarter of the window, after [CLS]


def test_windows_without_room_and_slow_tokenisers_are_refused(tokenizer):
    with pytest.raises(RecipeError, match="cannot share -1 tokens"):
        qa_windows([_example()], tokenizer, stride=-1)
    with pytest.raises(RecipeError, match="share 20 leave no room"):
        qa_windows([_example()], tokenizer, max_length=24, stride=20)

    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="fast tokeniser"):
        qa_windows([_example()], Slow())
