"""Replaces the model of a running service when its files change or on request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tellapart.errors import TellapartError
from tellapart.serving.logs import log, where_raised
from tellapart.serving.model import ServedModel, Stamps

if TYPE_CHECKING:
    from tellapart.serving.metrics import ServiceMetrics

SECONDS = 1.0
"""Seconds between two looks at the files of a model."""


class ModelHolder:
    """The model that answers new requests.

    A thread looks at the files of the model. When they have changed and then stayed equal for one look, it loads the
    new model, has it answer once, and puts it into the place of the old one. If that fails, or the files change
    meanwhile, the old model stays; failed files are tried again only when they change or on request.

    Args:
        model: The first model.
        load: Loads the model of now.
        stamps: Returns what changes with the model's files; empty if there are none.
        metrics: Counts the reloads.
        seconds: Seconds between two looks.

    Attributes:
        current: The model that answers.
        failure: The sentence that says why the last reload failed; None if it did not.
    """

    def __init__(
        self,
        model: ServedModel,
        load: Callable[[], ServedModel],
        stamps: Callable[[], Stamps],
        metrics: ServiceMetrics,
        *,
        seconds: float = SECONDS,
    ) -> None:
        self.current = model
        self.failure: str | None = None
        self._load, self._stamps, self._metrics, self._seconds = load, stamps, metrics, seconds
        self._tried = self._seen = stamps()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="tellapart-reload", daemon=True)
        metrics.models.labels(model.version).set(1)

    def start(self) -> None:
        """Starts to look at the files."""
        self._thread.start()

    def reload(self) -> None:
        """Asks for a reload now, whether the files have changed or not."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread; a reload that has begun is not waited for."""
        self._closed = True
        self._wake.set()

    def _watch(self) -> None:
        while True:
            requested = self._wake.wait(self._seconds)
            self._wake.clear()
            if self._closed:
                return
            stamps = self._stamps()
            settled = stamps == self._seen and stamps not in ((), self._tried)
            self._seen = stamps
            if requested or settled:
                self._replace(stamps)

    def _replace(self, stamps: Stamps) -> None:
        """Loads the model and swaps it in; keeps the old one if it cannot be loaded."""
        self._tried = stamps
        try:
            model = self._load()
        except TellapartError as error:
            self._refuse(str(error))
            return
        except Exception as error:  # a file that is damaged in a way that its library does not expect
            self._refuse(
                f"the new model cannot be loaded ({type(error).__name__}): check its folder.",
                **where_raised(error),
            )
            return
        if self._stamps() != stamps:
            log(logging.WARNING, "reload_repeated", reason="the files changed while they were read")
            self._tried = ()
            return
        before, self.current, self.failure = self.current, model, None
        self._metrics.models.labels(before.version).set(0)
        self._metrics.models.labels(model.version).set(1)
        self._metrics.reloads.labels("done").inc()
        log(logging.INFO, "reloaded", model=model.version, before=before.version)

    def _refuse(self, sentence: str, **fields: Any) -> None:
        self.failure = sentence
        self._metrics.reloads.labels("failed").inc()
        log(logging.ERROR, "reload_failed", reason=sentence, model=self.current.version, **fields)
