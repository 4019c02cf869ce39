"""Every extra, command, option and key that pages, docstrings and messages name exists."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

from tellapart.cli import application
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import Recipe
from tellapart.reproduction.measures.settings import MEASUREMENTS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md"))]
# Options of pip, torchrun, accelerate, Ray, make, Sphinx, build, twine, git and Docker.
FOREIGN = {
    *("--no-deps", "--index-url", "--force-reinstall", "--quiet", "--upgrade", "--dest", "--only-binary"),
    *(
        "--python-version",
        "--nproc_per_node",
        "--nproc-per-node",
        "--num_processes",
        "--standalone",
        "--nnodes",
        "--rdzv_backend",
        "--rdzv_endpoint",
        "--max_restarts",
        "--head",
        "--check",
    ),
    *("--logdir", "--backend-store-uri"),
    *("--dist", "--help", "--fail-on-warning", "--keep-going", "--outdir", "--strict"),
    *("--always", "--dirty", "--exclude"),
    *("--no-cache-dir", "--no-create-home", "--extra-index-url", "--uid", "--mount", "--wheel-dir"),
}
_KEY = re.compile(r"(?<![\w./-])((?:stages\.\d+|encoder|decision|self_training)(?:\.[a-z_0-9]+)+)(?![\w/])")
_ASSIGNED = re.compile(r"--(?:set|over) '?([a-z_][a-z_0-9.N]*)=")


def _strings(file: Path) -> Iterator[str]:
    """The string literals of a module, docstrings and the texts of f-strings included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
TEXTS |= {file: "\n".join(_strings(file)) for file in SOURCES}
COMMAND: Any = typer.main.get_command(application())
EXTRAS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
)


def _named(*patterns: str | re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for file, text in TEXTS.items():
        for pattern in patterns:
            for name in re.findall(pattern, text):
                yield file, name


def _options(command: Any) -> set[str]:
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*map(_options, getattr(command, "commands", {}).values()))


def test_every_extra_that_is_named_exists():
    """`tellapart[extra]` is true in a clone too: pip finds the extras of the installed package."""
    for file, named in _named(r"pip install [^\n]*?'?(?:\.|tellapart)\[([\w,]+)\]"):
        assert set(named.split(",")) <= EXTRAS, file


def test_every_extra_of_a_missing_dependency_exists():
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MissingDependencyError":
                assert ast.literal_eval(node.args[1]) in {None, *EXTRAS}, file


def test_every_command_that_is_named_exists():
    for file, words in _named(r"(?:`|: )tellapart ([a-z][a-z-]+(?: [a-z]+)?)"):
        verb, _, rest = words.partition(" ")
        assert verb in COMMAND.commands, (file, words)
        below = getattr(COMMAND.commands[verb], "commands", {})
        assert not below or not rest or rest in below, (file, words)


def test_every_option_that_is_named_exists():
    scripts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "benchmarks").glob("*.py"))]
    known = _options(COMMAND) | FOREIGN
    known |= {name for script in scripts for name in re.findall(r'"(--[a-z][\w-]+)"', script)}
    assert [(file, name) for file, name in _named(r"(?<![\w-])(--[a-z][\w-]+)") if name not in known] == []
    assert "--warm-up" not in known


def test_every_key_that_is_named_exists():
    assert [(file, key) for file, key in _named(_KEY, _ASSIGNED) if not _is_key(key)] == []


def test_keys_that_do_not_exist_are_noticed():
    assert all(
        map(_is_key, ["stages.0.objective.warm_up", "stages.0.trainer.adam_beta1", "pretraining.steps"])
    )
    assert not any(map(_is_key, ["stages.0.warm_up", "encoder.maximum_length", "encoder.name.x", "nothing"]))


def _is_key(path: str) -> bool:
    """Whether a recipe, a pre-training recipe or the settings of a measurement have a key at a path."""
    keys = path.removeprefix("pretraining.").split(".")
    return any(_leads_somewhere(kind, keys) for kind in (Recipe, PretrainRecipe, *MEASUREMENTS.values()))


def _leads_somewhere(kind: type[BaseModel], keys: list[str]) -> bool:
    models = [kind]
    for place, key in enumerate(keys):
        if key.isdigit() or key == "N":
            continue
        fields = [model.model_fields[key] for model in models if key in model.model_fields]
        rest = len(keys) - place - 1
        if not fields or not rest:
            return bool(fields)
        if key in ("trainer", "thresholds", "label_texts"):  # mappings with keys of their own
            return rest == 1
        models = [found for field in fields for found in _models(field.annotation)]
    return True


def _models(annotation: Any) -> list[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
