"""Runs a service: the socket, the processes and their signals."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from tellapart.encoders.resolve import pinned
from tellapart.errors import TellapartError
from tellapart.listening import bound_socket, ended_by_signals, url_of
from tellapart.serving.logs import CONFIG, log
from tellapart.serving.settings import METRICS_FOLDER, ServeSettings
from tellapart.threads import usable_cores

_SWITCH_SECONDS = 0.0005
"""Seconds after which a waiting thread of Python gets its turn. Scoring gives way at every operation of the model and
by default would wait ten times as long for the thread that reads requests."""

_KEEP_ALIVE_SECONDS = 75
_STUCK_SECONDS = 60
_RETRY_SECONDS = 5


def serve(settings: ServeSettings, announce: Callable[[str], None] | None = None) -> None:
    """Serves a model until SIGTERM or Ctrl-C; requests that have been accepted are answered before it returns.

    SIGHUP reloads the model, and so does a change of its files. With several workers one process each loads the model
    and accepts requests from the same socket; one that dies is replaced.

    Args:
        settings: The settings.
        announce: Called with the address before requests are accepted.

    Raises:
        UserError: The address or the token file cannot be used.
        ModelError: There is no classifier.
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
    """
    settings.tokens()
    settings = replace(settings, model=pinned(settings.model))  # it is loaded again, also by new workers
    with (
        ended_by_signals(ignored=["SIGHUP"]) as handle,
        _metrics_folder(settings),
        contextlib.closing(bound_socket(settings.host, settings.port)) as listening,
    ):
        server = _server(settings, listening)
        handle(server.stop)
        if announce is not None:
            announce(url_of(settings.host, listening))
        server.run()


class _Server(Protocol):
    """What runs until a signal."""

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handles SIGTERM or Ctrl-C, also one from before `run`."""

    def run(self) -> None:
        """Answers requests until it is stopped."""


def _server(settings: ServeSettings, listening: socket.socket) -> _Server:
    """Loads the model; what cannot be served is an error here, also with several workers."""
    from tellapart.serving.app import create_app
    from tellapart.serving.model import load_settled_model

    if settings.workers > 1:
        load_settled_model(settings.model, settings.precision)
        return _Workers(_config(settings, functools.partial(_worker_app, settings)), [listening])
    sys.setswitchinterval(_SWITCH_SECONDS)
    # No variable here keeps the model, so that it is freed when another one replaces it.
    app = create_app(settings, load_settled_model(settings.model, settings.precision))
    return _Single(_config(settings, app), listening)


class _Single(uvicorn.Server):
    """The service in this process."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        super().__init__(config)
        self._listening = listening

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Ends the service after the last answer; before it has begun, as soon as it has."""
        self.handle_exit(number, frame)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers requests until it is stopped."""
        super().run(sockets or [self._listening])


class _Workers(Multiprocess):
    """The processes of a service; SIGHUP goes on to each of them."""

    def stop(self, number: int, _: FrameType | None) -> None:
        """Ends the workers after their last answers, as soon as `run` sees it."""
        self.signal_queue.append(number)

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def terminate_all(self) -> None:
        for one in self.sockets:  # new connections are refused at once, and do not wait for the last answer
            one.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for died in before - {process.pid for process in self.processes}:
            if died is not None:
                from prometheus_client.multiprocess import mark_process_dead

                mark_process_dead(died)


def _worker_app(settings: ServeSettings) -> Any:
    """Builds the application of a worker.

    If the model cannot be loaded, as when its folder was broken after the start, the process ends after a pause and
    is started again; other workers go on with the model that they have.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the model is there
    import torch

    from tellapart.serving.app import create_app
    from tellapart.serving.model import load_settled_model

    sys.setswitchinterval(_SWITCH_SECONDS)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // settings.workers))
    try:
        return create_app(settings, load_settled_model(settings.model, settings.precision))
    except TellapartError as error:
        log(logging.ERROR, "worker_not_started", reason=str(error), again_in_seconds=_RETRY_SECONDS)
        time.sleep(_RETRY_SECONDS)
        raise SystemExit(1) from None


def _config(settings: ServeSettings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=settings.workers > 1,
        workers=settings.workers,
        log_config=CONFIG,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.body_timeout + settings.timeout) + 1,
        timeout_worker_healthcheck=_STUCK_SECONDS,
    )


@contextlib.contextmanager
def _metrics_folder(settings: ServeSettings) -> Iterator[None]:
    """Sets the folder in which several workers keep their metrics, unless it is set."""
    if settings.workers == 1 or METRICS_FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tellapart-metrics-") as folder:
        os.environ[METRICS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[METRICS_FOLDER]
