"""What servers share: addresses that only this machine can reach, sockets, access tokens, signals."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from tellapart.errors import UserError
from tellapart.files import user_path

FEWEST_TOKEN_CHARACTERS = 16

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Host names of this machine in a URL."""

_MAKE = "python -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(host: str, token_file: str | None) -> None:
    """Checks that an address which others can reach is protected.

    Raises:
        UserError: It is not.
    """
    if not is_loopback(host) and token_file is None:
        raise UserError(
            f"on {host} the service would answer everyone who can reach this machine",
            "give --token-file FILE with an access token, or leave out --host",
        )


class ServerSettings(Protocol):
    """What the settings of every server have."""

    @property
    def host(self) -> str:
        """Address to listen on."""

    @property
    def token_file(self) -> str | None:
        """File with one access token per line; None for open access."""


def check_settings(settings: ServerSettings, ranges: Iterable[tuple[str, float, float]]) -> None:
    """Checks the numbers of settings, and that an address which others can reach is protected.

    Args:
        settings: The settings.
        ranges: Name of a number, its smallest and its largest value.

    Raises:
        UserError: A number is out of its range, or the host is open to others and there is no token file.
    """
    for name, low, high in ranges:
        value = getattr(settings, name)
        if not low <= value <= high:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} cannot be {value}", f"give a number from {low} to {high}")
    check_access(settings.host, settings.token_file)


def read_tokens(path: str | Path) -> tuple[bytes, ...]:
    """Reads a file with one access token per line.

    Raises:
        UserError: The file cannot be read, holds no token, or one that is short or has spaces.
    """
    file = user_path(path)
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise UserError(
            f"the token file {file} cannot be read ({reason})", f"write a token: {_MAKE}"
        ) from None
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens or min(map(len, tokens)) < FEWEST_TOKEN_CHARACTERS or any(" " in token for token in tokens):
        raise UserError(
            f"the token file {file} needs tokens of at least {FEWEST_TOKEN_CHARACTERS} characters without spaces, "
            "one per line",
            f"write one: {_MAKE}",
        )
    return tuple(token.encode("ascii") for token in tokens)


def bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket that has the address and does not listen yet.

    Args:
        host: Address or name.
        port: Port; 0 for a free one.

    Raises:
        UserError: The address is in use, not allowed, or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"the service cannot listen on {host} port {port} ({reason})",
            "choose another --port, such as 0 for a free one, or another --host",
        ) from None
    bound.set_inheritable(True)
    return bound


def url_host(host: str) -> str:
    """Returns an address as URLs write it."""
    return f"[{host}]" if ":" in host else host


def url_of(host: str, listening: socket.socket) -> str:
    """Returns the URL of a socket."""
    return f"http://{url_host(host)}:{listening.getsockname()[1]}"


Handler = Callable[[int, FrameType | None], Any]
"""Of a signal, as `signal.signal` takes it."""


@contextlib.contextmanager
def ended_by_signals(ignored: Sequence[str] = ()) -> Iterator[Callable[[Handler], None]]:
    """Has SIGTERM and Ctrl-C end a server in order, with exit code 0, from the start on.

    While it loads they end the program at once: a process with the id 1, as in a container, has no other handler.
    uvicorn replaces the handlers while it runs, and raises the signals that it got again at its end.

    Args:
        ignored: Names of signals to ignore until the server runs, where the system has them.

    Yields:
        A function that sets the handler for when the server is loaded.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield lambda handler: None
        return
    stops = (signal.SIGTERM, signal.SIGINT)
    before = {one: signal.signal(one, _end) for one in stops}
    for name in ignored:
        if hasattr(signal, name):
            one = getattr(signal, name)
            before[one] = signal.signal(one, signal.SIG_IGN)

    def handle(handler: Handler) -> None:
        for one in stops:
            signal.signal(one, handler)

    try:
        yield handle
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(*_: object) -> None:
    raise SystemExit(0)
