from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

Put = Callable[[str, dict[str, str | bytes]], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Writes the files of a set into its folder below `TELLAPART_DATA`; nothing can be fetched."""
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))

    def write(name: str, files: dict[str, str | bytes]) -> Path:
        folder = tmp_path / "data" / name
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write


@pytest.fixture
def padding_share() -> Callable[[Any, Iterable[Sequence[int]]], float]:
    """Returns the share of padding tokens in batches of a tokenised data set."""

    def share(dataset: Any, batches: Iterable[Sequence[int]]) -> float:
        longest = [(int(dataset.lengths[list(rows)].max()), rows) for rows in batches]
        real = sum(int(dataset.lengths[list(rows)].sum()) for _, rows in longest)
        return 1 - real / sum(length * len(rows) for length, rows in longest)

    return share
