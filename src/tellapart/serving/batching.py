"""Dynamic batching: one thread scores the texts that wait in a bounded queue, in batches of similar length."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from tellapart.errors import TellapartError
from tellapart.serving.logs import log, where_raised
from tellapart.serving.model import Text

Answers = list[dict[str, Any]]

_SHORT = 64
"""Characters up to which texts count as equally long: a batch of its own would cost more than their padding."""


class AnswersTexts(Protocol):
    """What the thread calls, such as `tellapart.serving.model.ServedModel`."""

    def answers(self, rows: Sequence[Text]) -> Answers:
        """Returns one answer per row; all rows have a second text, or none has."""


class QueueFullError(Exception):
    """Too many texts wait."""


class ClosedError(Exception):
    """The service is stopping."""


@dataclass(eq=False)
class _Request:
    """The texts of one request, and their answers as far as they are there."""

    model: AnswersTexts
    future: Future[Answers]
    answers: Answers
    missing: int
    arrived: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, eq=False)
class _Row:
    request: _Request
    place: int
    text: Text

    @property
    def characters(self) -> int:
        return len(self.text.text) + len(self.text.pair or "")


class Batcher:
    """Scores the texts of concurrent requests together.

    A batch takes the texts that wait, in the order of their arrival. It begins when `max_batch` texts wait or the
    first has waited for `max_wait` seconds; at once if the last batch was that of one request, as with a single
    client, who would only wait for itself. A batch is scored in groups of one model and of similar length, the
    shortest first, and a request is answered when its last text is scored.

    Args:
        max_batch: Most texts in a batch.
        max_wait: Longest time in seconds that a text waits for others.
        max_queue: Most texts that wait.
        scored: Called with the number of texts of each group and the seconds that it took.
        waiting: Called with the number of texts that wait, before each batch.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        scored: Callable[[int, float], None] = lambda texts, seconds: None,
        waiting: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self.max_batch, self.max_wait, self.max_queue = max_batch, max_wait, max_queue
        self._scored, self._report_waiting = scored, waiting
        self._rows: deque[_Row] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._several = False  # whether the last batch was of several requests
        self._thread = threading.Thread(target=self._run, name="tellapart-scoring", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and requests are accepted."""
        return self._thread.is_alive() and not self._closed

    def submit(self, model: AnswersTexts, texts: Sequence[Text]) -> Future[Answers]:
        """Puts the texts of a request into the queue.

        Args:
            model: The model that answers all of them.
            texts: At least one text.

        Returns:
            The future answers, in the order of the texts. Cancelling it takes the texts out of the queue.

        Raises:
            QueueFullError: Fewer places than texts are left.
            ClosedError: The batcher is closed.
        """
        request = _Request(model, Future(), [{}] * len(texts), len(texts))
        with self._changed:
            if self._closed:
                raise ClosedError
            if len(self._rows) + len(texts) > self.max_queue:
                raise QueueFullError
            before = len(self._rows)
            self._rows.extend(_Row(request, place, text) for place, text in enumerate(texts))
            if before == 0 or len(self._rows) >= self.max_batch:
                self._changed.notify()
        return request.future

    def close(self, seconds: float | None = None) -> None:
        """Answers what waits, and ends the thread; later texts are refused.

        Args:
            seconds: Longest time to wait for its end; None for no limit.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while rows := self._next_batch():
            self._several = len({id(row.request) for row in rows}) > 1
            for group in similar_groups(rows):
                started = time.monotonic()
                self._answer(group)
                self._scored(len(group), time.monotonic() - started)

    def _next_batch(self) -> list[_Row]:
        """Waits for the next batch; empty at the end."""
        while True:
            with self._changed:
                while not self._rows and not self._closed:
                    self._changed.wait()
                if not self._rows:
                    return []
                self._wait_for_more()
                self._report_waiting(len(self._rows))
                taken: list[_Row] = []
                while self._rows and len(taken) < self.max_batch:
                    row = self._rows.popleft()
                    if not row.request.future.done():  # else it was cancelled, or another of its texts failed
                        taken.append(row)
            if taken:
                return taken

    def _wait_for_more(self) -> None:
        end = self._rows[0].request.arrived + self.max_wait
        while self._several and len(self._rows) < self.max_batch and not self._closed:
            left = end - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)

    def _answer(self, rows: list[_Row]) -> None:
        """Scores a group; if that fails, each request on its own, so that one cannot fail the others."""
        try:
            answers = rows[0].request.model.answers([row.text for row in rows])
        except Exception as error:
            requests = {id(row.request): row.request for row in rows}
            if len(requests) == 1:
                _fail(rows[0].request, error)
                return
            for request in requests.values():
                self._answer([row for row in rows if row.request is request])
            return
        for row, answer in zip(rows, answers, strict=True):
            request = row.request
            request.answers[row.place] = answer
            request.missing -= 1
            if request.missing == 0 and request.future.set_running_or_notify_cancel():
                request.future.set_result(request.answers)


def _fail(request: _Request, error: Exception) -> None:
    if not isinstance(error, TellapartError):
        log(logging.ERROR, "scoring_failed", **where_raised(error))
    if not request.future.done() and request.future.set_running_or_notify_cancel():
        request.future.set_exception(error)


def similar_groups(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Divides rows by model and by whether they have a second text, then by length.

    The longest text of a group has at most twice the characters of the shortest, or of `_SHORT`, so that little of a
    padded batch is padding.

    Yields:
        The groups of each model, shorter texts first.
    """
    group: list[_Row] = []
    for row in sorted(rows, key=lambda row: (*_kind(row), row.characters)):
        if group and (_kind(row) != _kind(group[0]) or row.characters > 2 * max(_SHORT, group[0].characters)):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _kind(row: _Row) -> tuple[int, bool]:
    return id(row.request.model), row.text.pair is None
