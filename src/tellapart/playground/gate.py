"""What every request to a playground passes: host name, origin, access token, path, size; headers of responses."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tellapart.listening import LOCAL_NAMES, url_host

MOST_BODY_BYTES = 8 << 20
"""Largest body; the length of texts is limited before, where the sentence that says so is made."""

_PATHS = re.compile(
    r"/|/(theme\.css|config|favicon\.ico|manifest\.json)|/(assets|static)(/[\w-][\w.-]*)+"
    r"|/gradio_api/(queue/(join|data)|cancel|reset|startup-events|app_id|heartbeat/\w+)"
)
"""Paths that the page needs. Gradio has many more: uploads, files, a proxy, the interface for programs."""

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing is loaded from other hosts. Gradio's page has inline scripts and compiles its templates."""

_HEADERS = (
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Gate:
    """ASGI middleware in front of the page.

    Pages of other sites that a browser shows can neither read the playground through a name of their own (DNS
    rebinding) nor send requests to it (their origin is another).

    Args:
        app: The page.
        host: The address that it listens on.
        tokens: Access tokens, one of which browsers send as a password (HTTP basic authentication); none for an open
            page.
    """

    def __init__(self, app: ASGIApp, host: str, tokens: Sequence[bytes]) -> None:
        self.app, self.tokens = app, tokens
        self._hosts = None if tokens else {*LOCAL_NAMES, url_host(host)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no sockets
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        refused = self._refused(scope["method"], scope["path"], headers)
        await (refused or self.app)(scope, receive, answer)

    def _refused(self, method: str, path: str, headers: Mapping[str, str]) -> PlainTextResponse | None:
        """Returns the response to a request that does not pass; None for one that does."""
        host = headers.get("host", "").lower()
        if self._hosts is not None and re.sub(r":\d*$", "", host) not in self._hosts:
            return PlainTextResponse("This page answers only for localhost.", 421)
        origin = headers.get("origin", "").lower()
        if origin and origin.partition("://")[2] != host:
            return PlainTextResponse("This page answers no other page.", 403)
        if self.tokens and not self._has_token(headers.get("authorization", "")):
            asked = {"www-authenticate": 'Basic realm="tellapart playground", charset="UTF-8"'}
            return PlainTextResponse("Give an access token as the password.", 401, asked)
        if not _PATHS.fullmatch(path):
            return PlainTextResponse("There is no such page.", 404)
        if "transfer-encoding" in headers:  # the length of the body is then not that of the other header
            return PlainTextResponse("The length of the body is missing.", 411)
        if method not in ("GET", "HEAD"):
            length = headers.get("content-length", "")
            if not length.isdecimal():
                return PlainTextResponse("The length of the body is missing.", 411)
            if len(length) > len(str(MOST_BODY_BYTES)) or int(length) > MOST_BODY_BYTES:
                return PlainTextResponse("The body is too large.", 413)
        return None

    def _has_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            password = base64.b64decode(given.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        # Every token is compared, in a time that does not depend on where they differ.
        known = [hmac.compare_digest(token, password) for token in self.tokens]
        return any(known)
