"""docs/architecture.md names the folders, modules, functions and tests that exist, in the order of the contract."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tellapart"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

_BLOCKS = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
_LISTED = re.findall(r"^ *([\w/]+(?:/|\.py)) ", _BLOCKS[0], re.MULTILINE)
_WITHOUT_LINKS = re.sub(r"\]\([^)]*\)", "]", PAGE)
_PATHS = sorted(set(re.findall(r"(?<![\w/.])(?:(?:[a-z_]+/)+(?:\w+\.py)?|\w+\.py)", _WITHOUT_LINKS)))
_NAMES = [
    (module, name)
    for block in _BLOCKS[1:]
    for module, names in re.findall(r"([\w/]+\.py): (\w+(?:\.\w+)?(?:, \w+(?:\.\w+)?)*)", block)
    for name in names.split(", ")
]


def _contract() -> list[str]:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [name for layer in contract["contracts"][0]["layers"] for name in layer.split(" | ")]


def test_the_folders_are_those_of_the_package_in_the_order_of_the_import_contract():
    top = [path.removesuffix("/").removesuffix(".py") for path in _LISTED if path.count("/") < 2]
    assert top == _contract()


def test_the_folders_of_data_are_listed():
    folders = {
        f"data/{path.name}/" for path in (PACKAGE / "data").iterdir() if (path / "__init__.py").is_file()
    }
    assert folders == {path for path in _LISTED if path.startswith("data/") and path.count("/") == 2}


@pytest.mark.parametrize("path", _PATHS)
def test_every_path_exists(path):
    assert (PACKAGE / path).exists() or (ROOT / path).exists() or (ROOT / "src" / path).exists()


@pytest.mark.parametrize(("module", "name"), _NAMES)
def test_every_function_and_class_is_defined_in_the_module_that_is_named(module, name):
    text = (PACKAGE / module).read_text(encoding="utf-8")
    for part in name.split("."):
        assert re.search(rf"^ *(?:def|class) {part}\b", text, re.MULTILINE), f"{module} defines no {part}"
