"""Settings of a service: address, access, batches and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tellapart.errors import MissingDependencyError
from tellapart.listening import check_settings, read_tokens

if TYPE_CHECKING:
    from tellapart.encoders.precision import Precision

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder in which several processes keep their metrics; prometheus_client reads it when
it is imported."""


@dataclass(frozen=True)
class ServeSettings:
    """Settings of `tellapart serve`.

    Args:
        model: Run folder, checkpoint, export, or name of a Transformers classifier.
        host: Address to listen on.
        port: Port; 0 for a free one.
        workers: Processes, each with its own copy of the model and its own queue.
        token_file: File with one access token per line; None for a service without tokens.
        precision: As for `tellapart predict`.
        max_batch: Most texts that are scored together.
        max_wait_ms: Longest time in milliseconds that a text waits for others to be scored with.
        max_queue: Most texts that wait; further requests are refused with status 429.
        max_explain: Most texts of a request that asks for explanations; 0 for a service that gives none.
        max_explain_characters: Longest text in characters that is explained.
        max_explain_requests: Most such requests at once; further ones are refused with status 429.
        max_text_characters: Longest text in characters.
        max_body_bytes: Largest body of a request in bytes.
        body_timeout: Longest time in seconds until the body of a request has arrived.
        timeout: Longest time in seconds from then on to the answer.

    Raises:
        UserError: A value is out of its range, or the host is open to others and there is no token file.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    token_file: str | None = None
    precision: Precision = "auto"
    max_batch: int = 64
    max_wait_ms: float = 5.0
    max_queue: int = 1024
    max_explain: int = 8
    max_explain_characters: int = 2000
    max_explain_requests: int = 4
    max_text_characters: int = 100_000
    max_body_bytes: int = 1 << 20
    body_timeout: float = 10.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)

    def tokens(self) -> tuple[bytes, ...]:
        """Reads the access tokens; empty without a token file.

        Raises:
            UserError: The file cannot be read, holds no token, or one that is short or has spaces.
        """
        return () if self.token_file is None else read_tokens(self.token_file)


_RANGES = (
    ("port", 0, 65535),
    ("workers", 1, 256),
    ("max_batch", 1, 4096),
    ("max_wait_ms", 0, 1000),
    ("max_queue", 1, 1_000_000),
    ("max_text_characters", 1, 100_000_000),
    ("max_body_bytes", 1024, 1 << 30),
    ("max_explain", 0, 1000),
    ("max_explain_characters", 1, 100_000_000),
    ("max_explain_requests", 1, 1000),
    ("body_timeout", 0.1, 3600),
    ("timeout", 0.1, 3600),
)


def check_packages() -> None:
    """Checks that the packages of the extra `serve` are installed.

    Raises:
        MissingDependencyError: One is missing.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(error.name or "fastapi", "serve", "serving a model") from None
