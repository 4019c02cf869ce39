"""Generated and damaged files are read, or refused in a sentence, by every reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fuzz_readers.py"
FILES = 160


@pytest.fixture(scope="module")
def fuzz() -> Any:
    spec = importlib.util.spec_from_file_location("fuzz_readers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_the_same_in_every_run(fuzz: Any, tmp_path: Path) -> None:
    for number in range(8):
        path = fuzz.write_file(number, tmp_path)
        before = path.read_bytes()
        assert fuzz.write_file(number, tmp_path).read_bytes() == before


@pytest.mark.parametrize("start", range(0, FILES, 20))
def test_readers_raise_errors_of_their_own_alone(fuzz: Any, tmp_path: Path, start: int) -> None:
    found = []
    for number in range(start, start + 20):
        path = fuzz.write_file(number, tmp_path)
        for reader in fuzz.READERS:
            failure = fuzz.raw_exception(reader, path)
            if failure:
                found.append(f"{path.name}, {reader}: {failure}")
    assert not found
