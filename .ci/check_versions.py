"""Fails when the environment has another torch or transformers than the ones meant."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def transformers_requirement() -> Requirement:
    """Returns the versions of transformers that `pyproject.toml` allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(found for found in map(Requirement, project["dependencies"]) if found.name == "transformers")


def main(torch_requirement: str) -> None:
    """Compares what is installed with `torch==…`, as the Makefile asks for it, and with `pyproject.toml`."""
    wanted = torch_requirement.partition("==")[2]
    torch, transformers = version("torch"), version("transformers")
    if wanted and torch.partition("+")[0] != wanted.partition("+")[0]:
        sys.exit(
            f"torch {torch} is installed, {wanted} was asked for: remove .venv and run make install again."
        )
    needed = transformers_requirement()
    if transformers not in needed.specifier:
        sys.exit(
            f"transformers {transformers} is installed, {needed} is needed: remove .venv and run make install."
        )
    print(f"torch {torch}, transformers {transformers}")


if __name__ == "__main__":
    main(sys.argv[1])
