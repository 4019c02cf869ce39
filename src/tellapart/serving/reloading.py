"""Replaces the model of a running service when its files change or on request."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from tellapart.errors import TellapartError
from tellapart.serving.files import Stamps
from tellapart.serving.logs import log, where_raised
from tellapart.serving.model import ServedModel

if TYPE_CHECKING:
    from tellapart.serving.metrics import ServiceMetrics


class ModelHolder:
    """The model that answers new requests.

    A thread looks at the files of the model. When they have changed and then stayed equal for one look, it loads the
    new model, has it answer once, and puts it into the place of the old one. If that fails, or the files change
    meanwhile, the old model stays; failed files are tried again only when they change or on request. Stamps that
    cannot be read, as of a network folder that is away for a moment, are looked at again the next time.

    Args:
        model: The first model; one whose files have changed since they were read is replaced.
        load: Loads the model of now, with the stamps of its files from before they were read.
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
        seconds: float,
    ) -> None:
        self.current = model
        self.failure: str | None = None
        self._load, self._stamps, self._metrics, self._seconds = load, stamps, metrics, seconds
        self._tried = self._seen = model.stamps
        self._old: weakref.ref[ServedModel] | None = None  # one that was replaced and may be in memory
        self._unreadable = False  # whether the last look failed
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
        requested = False
        while True:
            requested = self._wake.wait(self._seconds) or requested
            self._wake.clear()
            if self._closed:
                return
            try:
                self._look(requested)
            except Exception as error:  # of the file system; the thread must go on
                if not self._unreadable:
                    log(logging.ERROR, "model_not_readable", **where_raised(error))
                self._unreadable = True
            else:
                self._unreadable = requested = False

    def _look(self, requested: bool) -> None:
        """Loads the model if its files have changed and then stayed equal for one look, or on request."""
        self._free_old()
        stamps = self._stamps()
        settled = stamps == self._seen and stamps not in ((), self._tried)
        self._seen = stamps
        if requested or settled:
            self._replace(stamps)

    def _replace(self, stamps: Stamps) -> None:
        """Loads the model and swaps it in; keeps the old one if that fails or the files change meanwhile."""
        self._tried = stamps
        try:
            model = self._load()
        except Exception as error:  # also of a file that is damaged in a way that its library does not expect
            if not self._changed_since(stamps):
                self._refuse(error)
            return
        if self._changed_since(model.stamps):
            return
        self._tried = model.stamps
        before, self.current, self.failure = self.current, model, None
        self._old = weakref.ref(before)
        self._metrics.models.labels(before.version).set(0)
        self._metrics.models.labels(model.version).set(1)
        self._metrics.reloads.labels("done").inc()
        log(logging.INFO, "reloaded", model=model.version, before=before.version)

    def _free_old(self) -> None:
        """Frees the memory of a replaced model when its last request is answered: its modules refer to each other."""
        if self._old is not None and self._old() is None:
            self._old = None
            gc.collect()

    def _changed_since(self, stamps: Stamps) -> bool:
        """Whether the files have changed while they were read, upon which they are loaded again when they settle."""
        if self._stamps() == stamps:
            return False
        log(logging.WARNING, "reload_repeated", reason="the files changed while they were read")
        self._tried = ()
        return True

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, TellapartError):
            self.failure, fields = str(error), {}
        else:
            name = type(error).__name__
            self.failure = f"the new model cannot be loaded ({name}): check its folder."
            fields = where_raised(error)
        self._metrics.reloads.labels("failed").inc()
        log(logging.ERROR, "reload_failed", reason=self.failure, model=self.current.version, **fields)
