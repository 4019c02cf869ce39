from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import DataError
from tellapart.serving.batching import (
    Batcher,
    ClosedError,
    EndedError,
    QueueFullError,
    _Request,
    _Row,
    similar_groups,
)
from tellapart.serving.model import Text

LONG = 60  # seconds that a test waits before it fails


class Echo:
    """Answers with the text; waits at a gate if it is closed; notes the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def answers(self, rows: Sequence[Text]) -> list[dict[str, Any]]:
        self.entered.set()
        assert self.gate.wait(LONG)
        assert len({row.pair is None for row in rows}) == 1
        if any("bad" in row.text for row in rows):
            raise ValueError("a tokeniser quotes: bad")
        if any("end" in row.text for row in rows):
            raise SystemExit
        if any("pair" in row.text for row in rows):
            raise DataError("the rows are pairs", "send single texts")
        self.batches.append([row.text for row in rows])
        return [{"answer": row.text + (row.pair or "")} for row in rows]


@pytest.fixture
def batcher() -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []

    def make(**options: Any) -> Batcher:
        made.append(Batcher(**{"max_batch": 4, "max_wait": 0.0, "max_queue": 100, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def submit(batcher: Batcher, model: Echo, *texts: str) -> Future:
    return batcher.submit(model, [Text(text) for text in texts])


def blocked(batcher: Batcher) -> tuple[Echo, Future]:
    """A model in the middle of a batch: what is submitted now waits in the queue."""
    model = Echo()
    model.gate.clear()
    first = submit(batcher, model, "first")
    assert model.entered.wait(LONG)
    return model, first


def test_texts_that_wait_are_scored_together_and_answered_in_their_order(batcher):
    queue = batcher()
    model, first = blocked(queue)
    others = [submit(queue, model, "a", "b"), submit(queue, model, "c")]
    model.gate.set()
    assert [answer["answer"] for answer in others[0].result(LONG)] == ["a", "b"]
    assert others[1].result(LONG) == [{"answer": "c"}]
    assert first.result(LONG) == [{"answer": "first"}]
    assert model.batches == [["first"], ["a", "b", "c"]]


def test_a_request_of_more_texts_than_a_batch_is_answered_whole(batcher):
    model = Echo()
    texts = [str(number) for number in range(11)]
    assert [one["answer"] for one in submit(batcher(), model, *texts).result(LONG)] == texts
    assert max(map(len, model.batches)) == 4


def test_a_full_queue_refuses_whole_requests_and_takes_smaller_ones(batcher):
    queue = batcher(max_queue=3)
    model, _ = blocked(queue)
    waiting = submit(queue, model, "a", "b")
    with pytest.raises(QueueFullError):
        submit(queue, model, "c", "d")
    last = submit(queue, model, "c")
    model.gate.set()
    assert len(waiting.result(LONG)) == 2
    assert len(last.result(LONG)) == 1


def test_a_cancelled_request_is_not_scored(batcher):
    queue = batcher()
    model, _ = blocked(queue)
    given_up, kept = submit(queue, model, "given up"), submit(queue, model, "kept")
    assert given_up.cancel()
    model.gate.set()
    assert kept.result(LONG) == [{"answer": "kept"}]
    assert model.batches == [["first"], ["kept"]]


def test_a_failing_request_does_not_fail_those_in_its_batch(batcher, caplog):
    queue = batcher(max_batch=10)
    model, _ = blocked(queue)
    requests = [submit(queue, model, text) for text in ("good", "bad secret", "fine")]
    model.gate.set()
    assert requests[0].result(LONG) == [{"answer": "good"}]
    assert requests[2].result(LONG) == [{"answer": "fine"}]
    with pytest.raises(ValueError):
        requests[1].result(LONG)
    assert "secret" not in caplog.text
    assert submit(queue, model, "still there").result(LONG)


def test_an_error_of_the_request_reaches_it(batcher):
    with pytest.raises(DataError, match="send single texts"):
        submit(batcher(), Echo(), "pair").result(LONG)


def test_models_are_not_mixed_and_each_request_has_the_one_it_was_submitted_with(batcher):
    queue = batcher(max_batch=10)
    old, _ = blocked(queue)
    new = Echo()
    requests = [
        submit(queue, model, text) for model, text in ((old, "1"), (new, "2"), (old, "3"), (new, "4"))
    ]
    old.gate.set()
    wait(requests, LONG)
    assert (old.batches[1:], new.batches) == ([["1", "3"]], [["2", "4"]])


def test_closing_answers_what_waits_and_refuses_what_comes_later(batcher):
    queue = batcher()
    model, _ = blocked(queue)
    waiting = [submit(queue, model, str(number)) for number in range(9)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    model.gate.set()
    closing.join(LONG)
    assert [one.result(0) for one in waiting] == [[{"answer": str(number)}] for number in range(9)]
    assert not queue.alive
    with pytest.raises(ClosedError):
        submit(queue, model, "late")


def test_a_single_client_does_not_wait_for_others(batcher):
    queue = batcher(max_wait=10 * LONG)
    for _ in range(3):
        assert submit(queue, Echo(), "alone").result(LONG)


def test_clients_at_once_are_waited_for_up_to_a_full_batch(batcher):
    queue = batcher(max_wait=10 * LONG)
    model, _ = blocked(queue)
    before = [
        submit(queue, model, "a"),
        submit(queue, model, "b"),
        *(submit(queue, model, "c") for _ in "cd"),
    ]
    model.gate.set()
    wait(before, LONG)
    together = [submit(queue, model, str(number)) for number in range(4)]  # the fourth fills the batch
    wait(together, LONG)
    assert sorted(model.batches[-1]) == ["0", "1", "2", "3"]


def test_functions_are_called_one_between_two_batches(batcher):
    queue, order = batcher(max_batch=1), []
    model, first = blocked(queue)

    class Noting(Echo):
        def answers(self, rows: Sequence[Text]) -> list[dict[str, Any]]:
            order.append(rows[0].text)
            return super().answers(rows)

    def broken() -> None:
        raise DataError("the text cannot be explained", "send another")

    noting = Noting()
    calls = [queue.call(lambda number=number: order.append(number)) for number in range(3)]
    assert queue.call(lambda: order.append("given up")).cancel()
    failing = queue.call(broken)
    texts = [submit(queue, noting, text) for text in "abc"]
    model.gate.set()
    wait([first, *calls, *texts, failing], LONG)
    assert order == ["a", 0, "b", 1, "c", 2]
    with pytest.raises(DataError):
        failing.result(0)
    assert submit(queue, model, "still there").result(LONG)


def test_a_thread_that_has_ended_leaves_no_request_waiting(batcher, caplog):
    queue = batcher()
    model, _ = blocked(queue)
    waiting = [submit(queue, model, *texts) for texts in (["end"], ["a", "b", "c"], ["later"])]
    waiting.append(queue.call(lambda: None))
    assert queue.alive
    model.gate.set()
    for one in waiting:
        with pytest.raises(EndedError):
            one.result(LONG)
    queue._thread.join(LONG)
    assert not queue.alive
    for refused in (lambda: submit(queue, model, "late"), lambda: queue.call(lambda: None)):
        with pytest.raises(EndedError):
            refused()
    assert "scoring_ended" in caplog.text


def test_a_model_is_not_kept_after_its_last_batch(batcher):
    queue = batcher()
    model = Echo()
    kept = weakref.ref(model)
    assert submit(queue, model, "a").result(LONG)
    del model
    end = time.monotonic() + LONG
    while kept() is not None:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_numbers_are_reported_before_the_answer_and_may_fail(batcher):
    scored: list[int] = []
    waiting: list[int] = []

    def failing(texts: int, _: float) -> None:
        scored.append(texts)
        raise OSError("no space left")

    queue = batcher(scored=failing, waiting=waiting.append)
    model, first = blocked(queue)
    others = submit(queue, model, "a", "b")
    model.gate.set()
    assert first.result(LONG)
    assert others.result(LONG)
    assert scored == [1, 2]
    assert (max(waiting), waiting[-1]) == (2, 0)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2000), st.booleans())))
def test_groups_have_one_model_and_one_form_and_similar_lengths(given_rows):
    models = [Echo(), Echo()]
    rows = [
        _Row(_Request(models[model], Future(), [], 1), 0, Text("x" * length, "" if paired else None))
        for model, length, paired in given_rows
    ]
    groups = list(similar_groups(rows))
    assert sorted(map(id, rows)) == sorted(id(row) for group in groups for row in group)
    for group in groups:
        lengths = [row.characters for row in group]
        assert lengths == sorted(lengths)
        assert lengths[-1] <= 2 * max(64, lengths[0])
        assert len({(id(row.request.model), row.text.pair is None) for row in group}) == 1
