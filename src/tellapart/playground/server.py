"""Runs a playground until Ctrl-C."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tellapart.listening import bound_socket, ended_by_signals, url_of
from tellapart.playground.settings import PlaygroundSettings, check_packages


def playground(settings: PlaygroundSettings, announce: Callable[[str], None] | None = None) -> None:
    """Serves a page on which one model or two answer texts, until SIGTERM or Ctrl-C.

    Args:
        settings: The settings.
        announce: Called with the address when the page can be opened.

    Raises:
        UserError: The address, the token file or the file with training texts cannot be used.
        ModelError: There is no classifier.
        MissingDependencyError: The extra `demo` is not installed; or a model is an export, and ONNX Runtime is not.
    """
    check_packages()
    settings.tokens()
    with (
        ended_by_signals() as handle,
        contextlib.closing(bound_socket(settings.host, settings.port)) as listening,
    ):
        from tellapart.playground.playground import load_playground

        loaded = load_playground(settings)
        import uvicorn

        from tellapart.playground.app import create_app

        config = uvicorn.Config(
            create_app(loaded),
            access_log=False,
            log_level="error",
            lifespan="on",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,  # the page keeps a connection open
        )
        server = uvicorn.Server(config)
        handle(server.handle_exit)
        if announce is not None:
            announce(url_of(settings.host, listening))
        server.run([listening])
