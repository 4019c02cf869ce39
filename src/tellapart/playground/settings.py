"""Settings of a playground, and the packages that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tellapart.errors import MissingDependencyError
from tellapart.listening import check_settings, read_tokens

if TYPE_CHECKING:
    from tellapart.encoders.precision import Precision


@dataclass(frozen=True)
class PlaygroundSettings:
    """Settings of `tellapart playground`.

    Args:
        models: One model or two: run folders, checkpoints, exports, or names of Transformers classifiers.
        data: File, folder or set with the training texts; None for those that the run folders name.
        pairs: Whether texts are pairs; None for what the models were trained on.
        top: Number of the most probable classes that are shown.
        precision: As for `tellapart predict`.
        host: Address to listen on.
        port: Port; 0 for a free one.
        token_file: File with one access token per line; None for a page without a password.
        max_text_characters: Longest text in characters.

    Raises:
        UserError: A value is out of its range, or the host is open to others and there is no token file.
    """

    models: tuple[str, ...]
    data: str | None = None
    pairs: bool | None = None
    top: int = 5
    precision: Precision = "auto"
    host: str = "127.0.0.1"
    port: int = 7860
    token_file: str | None = None
    max_text_characters: int = 20_000

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)

    def tokens(self) -> tuple[bytes, ...]:
        """Reads the access tokens; empty without a token file.

        Raises:
            UserError: The file cannot be read, holds no token, or one that is short or has spaces.
        """
        return () if self.token_file is None else read_tokens(self.token_file)


_RANGES = (("port", 0, 65535), ("top", 1, 100), ("max_text_characters", 1, 1_000_000))


def check_packages() -> None:
    """Checks that the packages of the extra `demo` are installed; importing them would take seconds.

    Raises:
        MissingDependencyError: One is missing.
    """
    for package in ("gradio", "uvicorn"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "demo", "the playground")
