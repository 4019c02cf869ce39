"""Runs a service: the socket, the processes and their signals."""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.config
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from tellapart.errors import TellapartError
from tellapart.listening import bound_socket, quiet_signals, url_of
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
    with contextlib.closing(bound_socket(settings.host, settings.port)) as listening:
        from tellapart.serving.app import create_app
        from tellapart.serving.model import load_model

        model = load_model(
            settings.model, settings.precision
        )  # also for workers: a sentence says what is wrong
        if announce is not None:
            announce(url_of(settings.host, listening))
        with quiet_signals(ignored=["SIGHUP"]):
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
