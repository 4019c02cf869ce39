"""Fails when the environment has another torch or transformers than the ones meant."""

from __future__ import annotations

import sys
from importlib.metadata import version


def main(torch_requirement: str) -> None:
    """Compares what is installed with `torch==…`, as the Makefile asks for it, and with transformers 5."""
    wanted = torch_requirement.partition("==")[2]
    torch, transformers = version("torch"), version("transformers")
    if wanted and torch.partition("+")[0] != wanted.partition("+")[0]:
        sys.exit(
            f"torch {torch} is installed, {wanted} was asked for: remove .venv and run make install again."
        )
    if not transformers.startswith("5."):
        sys.exit(
            f"transformers {transformers} is installed, 5.x is needed: remove .venv and run make install."
        )
    print(f"torch {torch}, transformers {transformers}")


if __name__ == "__main__":
    main(sys.argv[1])
