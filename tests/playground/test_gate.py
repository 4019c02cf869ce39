from __future__ import annotations

import pytest

pytest.importorskip("httpx2")
pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tellapart.playground.gate import MOST_BODY_BYTES, Gate

TOKEN = "a-token-of-24-characters"
JOIN = "/gradio_api/queue/join"


def _client(host="127.0.0.1", tokens=(), url="http://127.0.0.1:7860") -> TestClient:
    async def passed(request):
        return PlainTextResponse("passed")

    page = Starlette(routes=[Route("/{path:path}", passed, methods=["GET", "POST"])])
    return TestClient(Gate(page, host, tokens), base_url=url)


@pytest.mark.parametrize("path", ["/", "/theme.css", "/assets/index-Ab_1.js", "/gradio_api/queue/data"])
def test_what_the_page_asks_for_passes_and_loads_nothing_from_elsewhere(path):
    response = _client().get(path)
    assert (response.status_code, response.text) == (200, "passed")
    assert response.headers["content-security-policy"].startswith("default-src 'self';")


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/info", "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=x"),
        *("/gradio_api/call/answered", "/gradio_api/mcp", "/openapi.json", "/login", "/assets/%2e%2e/config"),
    ],
)
def test_other_paths_of_gradio_are_closed(path):
    assert _client().get(path).status_code == 404


def test_other_sites_neither_read_the_page_nor_send_to_it():
    assert _client(url="http://evil.example").get("/").status_code == 421
    client = _client()
    assert client.post(JOIN, json={}, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(JOIN, json={}, headers={"origin": "null"}).status_code == 403
    assert client.post(JOIN, json={}, headers={"origin": "http://127.0.0.1:7860"}).status_code == 200


def test_bodies_have_a_length_within_the_limit():
    client = _client()
    assert client.post(JOIN, content=iter([b"{}"])).status_code == 411
    both = {"content-length": "2", "transfer-encoding": "chunked"}
    for ask in (client.post, client.put, client.get):
        assert ask(JOIN, headers=both).status_code == 411
    too_long = {"content-length": str(MOST_BODY_BYTES + 1)}
    assert client.post(JOIN, content=b"{}", headers=too_long).status_code == 413


def test_with_tokens_browsers_are_asked_for_one():
    client = _client("0.0.0.0", [TOKEN.encode(), b"another-token-of-some-length"], "http://host.example")
    refused = client.get("/")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert client.get("/", auth=("anyone", "wrong")).status_code == 401
    assert client.get("/", headers={"authorization": "Basic ***"}).status_code == 401
    assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 401
    assert client.get("/", auth=("anyone", TOKEN)).status_code == 200
