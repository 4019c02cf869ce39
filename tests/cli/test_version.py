from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tellapart as package
from tellapart.cli.version import full_version

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file of the version in a folder that looks like a checkout."""
    file = tmp_path / "src" / "tellapart" / "cli" / "version.py"
    file.parent.mkdir(parents=True)
    file.write_text("# first\n", encoding="utf-8")
    return file


def _git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True)


@needs_git
def test_a_checkout_names_its_commit_and_whether_files_were_changed(source: Path, tmp_path: Path) -> None:
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "first")
    assert re.fullmatch(re.escape(package.__version__) + r" \(commit [0-9a-f]{7,}\)", full_version(source))
    source.write_text("# second\n", encoding="utf-8")
    assert full_version(source).endswith("-dirty)")


@needs_git
def test_the_repository_of_a_hook_is_not_taken_for_the_checkout(source, tmp_path, monkeypatch) -> None:
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "first")
    own = full_version(source)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    assert "commit" in own
    assert full_version(source) == own


def test_a_package_outside_a_checkout_names_its_version_alone(source: Path) -> None:
    assert full_version(source) == package.__version__


def test_a_folder_that_git_cannot_read_has_the_version_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert full_version(source) == package.__version__


def test_without_git_the_version_stands_alone(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert full_version(source) == package.__version__
