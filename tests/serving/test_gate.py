"""The gate in front of a small application, without a model."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("starlette")

from tellapart.serving.gate import Gate
from tellapart.serving.logs import NAME
from tellapart.serving.metrics import ServiceMetrics
from tellapart.serving.settings import ServeSettings


class Asked:
    """Sends messages through a gate to an application that answers with the size of the body."""

    def __init__(self, *messages: dict[str, Any], method: str = "POST", **settings: Any) -> None:
        self.bodies: list[bytes] = []
        self.sent: list[dict[str, Any]] = []
        self._left = list(messages)
        self.metrics = ServiceMetrics()
        gate = Gate(self._app, ServeSettings("model", **settings), self.metrics, ())
        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "path": "/v1/classify", "method": method, "headers": headers}
        asyncio.run(gate(scope, self._receive, self._send))

    async def _app(self, _: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def _receive(self) -> dict[str, Any]:
        if not self._left:
            await asyncio.Event().wait()
        return self._left.pop(0)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def logged(caplog: Any) -> dict[str, Any]:
    (fields,) = [one.fields for one in caplog.records if one.name == NAME and one.getMessage() == "request"]
    return fields


def test_a_body_in_pieces_arrives_whole():
    letters = [bytes([65 + number % 26]) for number in range(5000)]
    asked = Asked(*map(piece, letters), piece(b"", more=False))
    assert asked.bodies == [b"".join(letters)]
    assert asked.sent[0]["status"] == 200


def test_the_limit_of_a_body_counts_all_its_pieces():
    asked = Asked(*[piece(b"x" * 500)] * 2, piece(b"x" * 25, more=False), max_body_bytes=1024)
    assert (asked.sent[0]["status"], asked.bodies) == (413, [])
    assert Asked(*[piece(b"x" * 512)] * 2, piece(b"", more=False), max_body_bytes=1024).bodies == [
        b"x" * 1024
    ]


def test_a_client_that_leaves_in_its_body_is_not_answered(caplog):
    with caplog.at_level(logging.INFO, NAME):
        asked = Asked(piece(b'{"texts": "a"}'), {"type": "http.disconnect"})
    assert (asked.bodies, asked.sent) == ([], [])
    assert logged(caplog)["status"] == 499


def test_a_slow_body_has_a_limit_of_its_own():
    asked = Asked(piece(b"{"), body_timeout=0.1, timeout=3600)
    assert (asked.sent[0]["status"], asked.bodies) == (408, [])
    assert "0.1 seconds" in json.loads(asked.sent[1]["body"])["error"]


@pytest.mark.parametrize(("method", "named"), [("POST", "POST"), ("secret-text", "other")])
def test_the_log_names_methods_that_exist(caplog, method, named):
    with caplog.at_level(logging.INFO, NAME):
        Asked(piece(b"", more=False), method=method)
    assert logged(caplog)["method"] == named
