"""Runs a service: the socket, the processes and their signals."""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.config
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from tellapart.errors import TellapartError, UserError
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
    if settings.workers > 1 and METRICS_FOLDER not in os.environ:
        with tempfile.TemporaryDirectory(prefix="tellapart-metrics-") as folder:
            os.environ[METRICS_FOLDER] = folder
            try:
                serve(settings, announce)
            finally:
                del os.environ[METRICS_FOLDER]
        return
    with contextlib.closing(_bound(settings)) as listening:
        from tellapart.serving.app import create_app
        from tellapart.serving.model import load_model

        model = load_model(
            settings.model, settings.precision
        )  # also for workers: a sentence says what is wrong
        if announce is not None:
            announce(_url(settings, listening))
        with _quiet_signals():
            if settings.workers == 1:
                sys.setswitchinterval(_SWITCH_SECONDS)
                uvicorn.Server(_config(settings, create_app(settings, model))).run([listening])
            else:
                del model
                _Workers(_config(settings, functools.partial(_worker_app, settings)), [listening]).run()


class _Workers(Multiprocess):
    """The processes of a service; SIGHUP goes on to each of them."""

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
    from tellapart.serving.model import load_model

    sys.setswitchinterval(_SWITCH_SECONDS)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // settings.workers))
    try:
        return create_app(settings, load_model(settings.model, settings.precision))
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
        timeout_graceful_shutdown=math.ceil(settings.timeout) + 1,
        timeout_worker_healthcheck=_STUCK_SECONDS,
    )


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Has SIGTERM and Ctrl-C end the service in order, with exit code 0: uvicorn raises them again at its end."""
    quiet = [signal.SIGTERM, signal.SIGINT]
    before = {one: signal.signal(one, lambda *_: None) for one in quiet}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _bound(settings: ServeSettings) -> socket.socket:
    """Returns a socket that has the address and does not listen yet.

    Raises:
        UserError: The address is in use, not allowed, or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"the service cannot listen on {settings.host} port {settings.port} ({reason})",
            "choose another --port, such as 0 for a free one, or another --host",
        ) from None
    bound.set_inheritable(True)
    return bound


def _url(settings: ServeSettings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"
