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


class EndedError(Exception):
    """The thread that scores has ended, although the service is not stopping."""


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


@dataclass(frozen=True, eq=False)
class _Call:
    """A function that the thread is to call, and its result."""

    function: Callable[[], Any]
    future: Future[Any]


class Batcher:
    """Scores the texts of concurrent requests together.

    A batch takes the texts that wait, in the order of their arrival. It begins when `max_batch` texts wait or the
    first has waited for `max_wait` seconds; at once if the last batch was that of one request, as with a single
    client, who would only wait for itself. A batch is scored in groups of one model and of similar length, the
    shortest first, and a request is answered when its last text is scored. Between two batches the thread calls one
    of the functions that wait for it, such as an explanation.

    Args:
        max_batch: Most texts in a batch.
        max_wait: Longest time in seconds that a text waits for others.
        max_queue: Most texts that wait.
        scored: Called with the number of texts of each group and the seconds that it took, before they are answered.
        waiting: Called with the number of texts that wait, when it has changed.
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
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._several = False  # whether the last batch was of several requests
        self._thread = threading.Thread(target=self._run, name="tellapart-scoring", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and requests are accepted."""
        return not (self._closed or self._ended)

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
            EndedError: The thread has ended.
        """
        request = _Request(model, Future(), [{}] * len(texts), len(texts))
        with self._changed:
            self._check_open()
            if len(self._rows) + len(texts) > self.max_queue:
                raise QueueFullError
            before = len(self._rows)
            self._rows.extend(_Row(request, place, text) for place, text in enumerate(texts))
            if before == 0 or len(self._rows) >= self.max_batch:
                self._changed.notify()
            waiting = len(self._rows)
        _report(self._report_waiting, waiting)
        return request.future

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Has the thread call a function after its next batch, one function between two batches.

        Returns:
            The future result. Cancelling it takes the function out of the queue.

        Raises:
            ClosedError: The batcher is closed.
            EndedError: The thread has ended.
        """
        call = _Call(function, Future())
        with self._changed:
            self._check_open()
            self._calls.append(call)
            self._changed.notify()
        return call.future

    def close(self, seconds: float | None = None) -> None:
        """Answers what waits, and ends the thread; later texts are refused.

        Args:
            seconds: Longest time to wait for its end; None for no limit.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError
        if self._ended:
            raise EndedError

    def _run(self) -> None:
        try:
            while self._turn():  # its variables end with it: they would keep a model that has been replaced
                pass
        except BaseException as error:
            log(logging.CRITICAL, "scoring_ended", **where_raised(error))
        finally:
            with self._changed:
                self._ended = True
                waiting = [
                    *(row.request.future for row in self._rows),
                    *(call.future for call in self._calls),
                ]
                self._rows.clear()
                self._calls.clear()
            for future in waiting:
                _set_error(future, EndedError())

    def _turn(self) -> bool:
        """Scores the next batch and calls the next function, as far as there are; False at the end."""
        rows, call = self._next_work()
        try:
            if rows:
                self._several = len({id(row.request) for row in rows}) > 1
            for group in similar_groups(rows):
                self._answer(group)
            if call is not None:
                _finish(call)
        except BaseException:  # the thread ends, and nobody else would answer these
            for future in [*(row.request.future for row in rows), *([] if call is None else [call.future])]:
                _set_error(future, EndedError())
            raise
        return bool(rows or call)

    def _next_work(self) -> tuple[list[_Row], _Call | None]:
        """Waits for the next batch or function; neither at the end."""
        while True:
            with self._changed:
                while not (self._rows or self._calls or self._closed):
                    self._changed.wait()
                if not (self._rows or self._calls):
                    return [], None
                self._wait_for_more()
                rows = self._taken()
                call = self._calls.popleft() if self._calls else None
                waiting = len(self._rows)
            _report(self._report_waiting, waiting)
            if rows or call:
                return rows, call

    def _taken(self) -> list[_Row]:
        """Takes the texts of a batch out of the queue."""
        taken: list[_Row] = []
        while self._rows and len(taken) < self.max_batch:
            row = self._rows.popleft()
            if not row.request.future.done():  # else it was cancelled, or another of its texts failed
                taken.append(row)
        return taken

    def _wait_for_more(self) -> None:
        end = self._rows[0].request.arrived + self.max_wait if self._rows else 0.0
        while self._rows and self._several and len(self._rows) < self.max_batch and not self._closed:
            left = end - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)

    def _answer(self, rows: list[_Row]) -> None:
        """Scores a group; if that fails, each request on its own, so that one cannot fail the others."""
        started = time.monotonic()
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
        _report(self._scored, len(rows), time.monotonic() - started)
        for row, answer in zip(rows, answers, strict=True):
            request = row.request
            request.answers[row.place] = answer
            request.missing -= 1
            if request.missing == 0 and request.future.set_running_or_notify_cancel():
                request.future.set_result(request.answers)


def _fail(request: _Request, error: Exception) -> None:
    if not isinstance(error, TellapartError):
        log(logging.ERROR, "scoring_failed", **where_raised(error))
    _set_error(request.future, error)


def _finish(call: _Call) -> None:
    """Calls a function that nobody has cancelled, for its future."""
    if not call.future.set_running_or_notify_cancel():
        return
    try:
        call.future.set_result(call.function())
    except Exception as error:
        if not isinstance(error, TellapartError):
            log(logging.ERROR, "call_failed", **where_raised(error))
        call.future.set_exception(error)


def _set_error(future: Future[Any], error: Exception) -> None:
    if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
        future.set_exception(error)


def _report(report: Callable[..., None], *numbers: float) -> None:
    """Reports numbers to the metrics, whose failure must not end the thread."""
    try:
        report(*numbers)
    except Exception as error:
        log(logging.ERROR, "metrics_failed", **where_raised(error))


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
