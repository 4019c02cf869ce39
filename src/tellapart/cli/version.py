"""The version of the package, with the commit if it runs from a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tellapart import __version__


def full_version(source: Path = Path(__file__)) -> str:
    """Returns the version; from a checkout with its commit, such as `0.2.0 (commit 1a2b3c4)`.

    `-dirty` after the commit means that tracked files were changed. An installed wheel and a checkout that git cannot
    read have the version alone.

    Args:
        source: This file, which is at `src/tellapart/cli/version.py` of a checkout.
    """
    root = source.resolve().parents[3]
    if not (root / ".git").exists() or not (root / "src" / "tellapart").is_dir():
        return __version__
    # A hook of git sets variables that name another repository.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            env=variables,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} (commit {described.stdout.strip()})"
