"""What every request passes: its id, access, the size of its body, its line in the log, and errors as JSON."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tellapart.listening import LOCAL_NAMES, url_host
from tellapart.serving.logs import log, where_raised
from tellapart.serving.metrics import ServiceMetrics
from tellapart.serving.schemas import RequestError
from tellapart.serving.settings import ServeSettings

OPEN_PATHS = ("/healthz", "/readyz", "/docs", "/openapi.json")
"""Paths without access token: probes and documentation, which say nothing of the model but its version."""

PATHS = (*OPEN_PATHS, "/v1/classify", "/v1/model", "/metrics")
"""Paths that the log and the metrics name; others are counted as `other`, since they may hold anything."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_CLIENT_GONE = 499
"""Status in the log and the metrics of a request whose client left before its body was complete."""


class _ClientGoneError(Exception):
    """The client has closed the connection, and reads no answer."""


def error_answer(error: RequestError, request_id: str) -> tuple[bytes, dict[str, str]]:
    """Returns the body and the headers of an error; ASCII, whatever the message quotes."""
    body = json.dumps({"error": str(error), "request_id": request_id}).encode("ascii")
    return body, {"content-type": "application/json", "content-length": str(len(body)), **error.headers}


class Gate:
    """ASGI middleware in front of the endpoints.

    A service that only this machine can reach, without tokens, answers only requests for a local host name: pages of
    other sites that a browser shows cannot call it through a name of their own (DNS rebinding).

    Args:
        app: The endpoints.
        settings: The settings.
        metrics: Counts requests.
        tokens: The access tokens; none for an open service.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, metrics: ServiceMetrics, tokens: Sequence[bytes]
    ) -> None:
        self.app, self.settings, self.metrics, self.tokens = app, settings, metrics, tokens
        names = (*LOCAL_NAMES, url_host(settings.host))
        self._hosts = None if tokens else {name.encode() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        details: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, details=details)
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_fixed_headers(request_id)]
            await send(message)

        try:
            self._check_access(scope["path"], headers)
            body = await self._body(headers, receive)
            details["body_bytes"] = len(body)
            await self.app(scope, _replayed(body, receive), answer)
        except RequestError as error:
            await _refuse(error, request_id, answer)
        except _ClientGoneError:
            status = _CLIENT_GONE
        except Exception as error:
            log(logging.ERROR, "failed", request_id=request_id, **where_raised(error))
            sentence = RequestError(
                500, "the request failed", "look for its request_id in the log of the service"
            )
            await _refuse(sentence, request_id, answer)
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            fields = {"method": method, "path": path, "status": status, "seconds": round(seconds, 6)}
            log(logging.INFO, "request", request_id=request_id, **fields, **details)

    def _check_access(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._hosts is not None and _host_name(headers.get(b"host", b"")) not in self._hosts:
            raise RequestError(
                421,
                "this service answers only for localhost",
                "call it by http://127.0.0.1, or start it with --token-file",
            )
        if not self.tokens or path in OPEN_PATHS:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        # Every token is compared, in a time that does not depend on where they differ.
        known = [hmac.compare_digest(token, given.strip()) for token in self.tokens]
        if scheme.lower() != b"bearer" or not any(known):
            raise RequestError(
                401,
                "the access token is missing or wrong",
                "send the header Authorization: Bearer TOKEN",
                {"www-authenticate": "Bearer"},
            )

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Reads the body, within its limits of size and time.

        Raises:
            RequestError: It exceeds one of them.
            _ClientGoneError: The connection ended before the body.
        """
        most, seconds = self.settings.max_body_bytes, self.settings.body_timeout
        too_large = RequestError(
            413, f"the body is larger than {most} bytes", "send fewer texts at once", {"connection": "close"}
        )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientGoneError
                    more = message.get("more_body", False)
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise RequestError(
                408,
                f"the body did not arrive within {seconds:g} seconds",
                "send the request again, or fewer texts at once",
                {"connection": "close"},
            ) from None
        return bytes(body)


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _fixed_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", request_id.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]


def _host_name(host: bytes) -> bytes:
    """Returns the name in a Host header, without the port."""
    return re.sub(rb":\d*$", b"", host).lower()


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Returns a channel that gives a body that was read, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(error: RequestError, request_id: str, send: Send) -> None:
    body, headers = error_answer(error, request_id)
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
