"""What the documentation says, held against what there is: commands, snippets, recipes, links, options and keys."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tellapart.classifier import TextClassifier
from tellapart.cli import application, options, pretrain
from tellapart.evaluation.comparison import Comparison, ConfusablePair, MethodPair, MethodResult, Trial
from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.sweeps import SweepBaseline, SweepResult, SweepTrial
from tellapart.fitting.estimator import ESTIMATOR_PLACES
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import Recipe, compared_recipes, load_recipe, methods, split_methods
from tellapart.recipes.spaces import SearchSpace, parse_spaces
from tellapart.reproduction.figures import CellFigures, ColumnData, Reproduction
from tellapart.reproduction.measures.settings import (
    MEASUREMENTS,
    CorrectionsMeasurement,
    Measurement,
    QuestionAnsweringMeasurement,
    RobustnessMeasurement,
)
from tellapart.reproduction.protocols import Protocol, ProtocolColumn, ProtocolRow
from tellapart.reproduction.request import check_settings, is_shipped, load_protocol

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = ROOT / "docs" / "reference"

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `([^|]+)` \| ([^|]+) \|", re.MULTILINE)


def _blocks(language: str) -> list[Any]:
    return [
        pytest.param(page, code, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, (kind, code) in enumerate(_FENCE.findall(page.read_text(encoding="utf-8")), start=1)
        if kind == language
    ]


def _sections(page: Path) -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _commands(code: str) -> Iterator[list[str]]:
    """The arguments of every call of tellapart in shell code."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["torchrun"]:
            words = words[words.index("-m") + 1 :]
        if words[:1] == ["tellapart"]:
            yield words[1:]


def _context(arguments: list[str]) -> Any:
    """Parses arguments as the command line does, down to the verb, without running anything."""
    given = [argument for argument in arguments if argument not in ("--debug", "--help", "--version")]
    command, name, context = typer.main.get_command(application()), "tellapart", None
    while given and given[0] in getattr(command, "commands", {}):
        name, *given = given
        command = command.commands[name]
    if "--help" not in arguments and (given or name != "tellapart"):
        context = command.make_context(name, given)
    return context


@pytest.mark.parametrize(("page", "code"), _blocks("bash"))
def test_every_command_parses_and_describes_a_run(page, code):
    for arguments in _commands(code):
        context = _context(arguments)
        if context is not None and context.info_name == "reproduce":
            _check_table(context.params)
        if context is None or "recipe" not in context.params:
            continue
        parameters = dict(context.params)
        if context.info_name == "pretrain":
            assert pretrain.recipe_from(parameters)
            continue
        if parameters["recipe"]:
            file = ROOT / parameters["recipe"]
            parameters["recipe"] = file if file.is_file() else None  # else one that the reader writes
        settings = parameters.pop("settings")
        if "methods" not in parameters:
            recipe = options.recipe_from(parameters | {"settings": settings})
            if "over" in parameters:
                assert parse_spaces(recipe, parameters["over"])
            continue
        own = [setting for setting in settings if ".objective." in setting]
        shared = [setting for setting in settings if setting not in own]
        recipe = options.recipe_from(parameters | {"settings": shared})
        named = [name for name in split_methods(parameters["methods"]) if ".yaml" not in name]
        assert not named or compared_recipes(recipe, named, own)


def _check_table(parameters: dict[str, Any]) -> None:
    """The rows, columns, roles and settings that a command names are those of its table."""
    if not is_shipped(parameters["table"]):
        return
    _, protocol = load_protocol(parameters["table"])
    assert set((parameters["rows"] or "").split(",")) <= {*protocol.rows, ""}
    assert set((parameters["columns"] or "").split(",")) <= {*protocol.columns, ""}
    assert {name.split("=")[0] for name in parameters["encoder"] if "=" in name} <= set(protocol.encoders)
    check_settings(protocol, parameters["settings"])


def test_a_stale_command_is_noticed():
    with pytest.raises(Exception, match="--epoch"):
        _context(["train", "tickets.csv", "--epoch", "3"])
    with pytest.raises(Exception, match="Missing parameter: file"):
        _context(["predict", "runs/tickets", "--output", "labelled.csv"])


@pytest.mark.parametrize(("page", "code"), _blocks("python"))
def test_every_snippet_compiles_and_imports_what_there_is(page, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tellapart":
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{node.module} has no {missing}"


@pytest.mark.parametrize(("page", "code"), _blocks("yaml"))
def test_every_recipe_is_one(page, code, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(code, encoding="utf-8")
    if "columns" in yaml.safe_load(code):
        load_protocol(file)
    else:
        load_recipe(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", name).lower().replace(" ", "-") for name in headings}


def test_every_page_of_the_documentation_is_in_its_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    named = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    evidence = ROOT / "docs" / "evidence"  # has an index of its own
    assert {page for page in PAGES[1:] if evidence not in page.parents} - named == {
        ROOT / "docs" / "README.md"
    }


def _real_options(command: Any) -> set[str]:
    named = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    return named.union(*map(_real_options, getattr(command, "commands", {}).values())) - {"--help"}


def test_every_guarantee_names_a_test_that_there_is():
    page = (ROOT / "docs" / "reference" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 30
    missing = [
        (file, test)
        for file, test in named
        if test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_the_command_line_reference_has_the_options_that_there_are():
    sections = _sections(REFERENCE / "command-line.md")
    verbs = typer.main.get_command(application()).commands
    documented: dict[str, set[str]] = {verb: set() for verb in verbs}
    for option, its_verbs in _ROW.findall(sections["Options that verbs share"]):
        for verb in its_verbs.split():
            documented[verb].add(option.split()[0])
    for heading, text in sections.items():
        if heading.startswith("`tellapart "):
            verb = heading.strip("`").split()[1]
            documented[verb] |= {option.split()[0] for option, _ in _ROW.findall(text)}
    assert documented == {verb: _real_options(command) for verb, command in verbs.items()}


def test_the_command_line_reference_has_the_global_options_that_there_are():
    text = _sections(REFERENCE / "command-line.md")["Global options"]
    root = typer.main.get_command(application())
    real = {name for parameter in root.params for name in parameter.opts if name.startswith("--")}
    assert set(re.findall(r"`(--[\w-]+)`", text)) - {"--help"} == real - {"--help"}


@pytest.fixture(scope="module")
def tables() -> Any:
    spec = importlib.util.spec_from_file_location("recipe_tables", REFERENCE / "recipe_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_recipe_reference_are_those_of_the_schemas(tables):
    page = (REFERENCE / "recipes.md").read_text(encoding="utf-8")
    assert tables.rewritten(page) == page, "run python docs/reference/recipe_tables.py"
    changed = page.replace("| `seed` | `0` |", "| `seed` | `1` |")
    assert changed != page
    assert tables.rewritten(changed) == page
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    assert tables.rewritten_commands(page) == page, "run python docs/reference/recipe_tables.py"
    assert tables.rewritten_commands(page.replace("Rows per batch", "Batches")) == page


def test_every_key_of_a_recipe_has_a_description_and_a_default(tables):
    for model in tables.SECTIONS.values():
        for key, field in model.model_fields.items():
            assert key == "name" or re.fullmatch(r"[A-Z`(].*\.", field.description or ""), key
            assert not field.is_required(), key


def test_every_option_of_a_recipe_has_the_words_of_its_key():
    for verb, places in (("train", options.RECIPE_PLACES), ("pretrain", pretrain.PRETRAIN_PLACES)):
        parameters = {one.name: one for one in typer.main.get_command(application()).commands[verb].params}
        model = Recipe if verb == "train" else PretrainRecipe
        for option, path in (pair for panel in places.values() for pair in panel.items()):
            assert parameters[option].help == options.help_text(options.field_at(model, path))
            assert parameters[option].default is None


def test_the_parameters_of_the_estimator_have_the_defaults_of_the_recipe():
    defaults = {name: one.default for name, one in inspect.signature(TextClassifier).parameters.items()}
    for name, path in ESTIMATOR_PLACES.items():
        given = "none" if name == "label_texts" else defaults[name]  # None, for what the method has
        assert given == options.field_at(Recipe, path).default, name


@pytest.mark.parametrize(
    ("heading", "kind"), [("protocol", Protocol), ("column", ProtocolColumn), ("row", ProtocolRow)]
)
def test_the_protocol_reference_has_the_keys_and_defaults_that_there_are(heading, kind):
    documented = dict(_ROW.findall(_sections(REFERENCE / "protocols.md")[heading]))
    assert list(documented) == list(kind.model_fields)
    for key, cell in documented.items():
        field = kind.model_fields[key]
        assert (cell == "required") == field.is_required(), key
        if not field.is_required():
            assert yaml.safe_load(cell.strip("`")) == field.get_default(call_default_factory=True), key


@pytest.mark.parametrize(
    ("heading", "kind", "base"),
    [
        ("All of them", Measurement, None),
        ("corrections", CorrectionsMeasurement, Measurement),
        ("spans", QuestionAnsweringMeasurement, Measurement),
        ("robustness", RobustnessMeasurement, QuestionAnsweringMeasurement),
    ],
)
def test_the_protocol_reference_has_the_settings_of_each_kind_of_cell(heading, kind, base):
    section = _sections(REFERENCE / "protocols.md")["What a cell measures"]
    parts = re.split(r"^### (.+)\n", section, flags=re.MULTILINE)
    documented = dict(_ROW.findall(dict(zip(parts[1::2], parts[2::2], strict=True))[heading]))
    inherited = {"seed"} if base is None else set(base.model_fields)
    assert list(documented) == [name for name in kind.model_fields if name not in inherited]
    for key, cell in documented.items():
        assert yaml.safe_load(cell.strip("`")) == kind.model_fields[key].default, key
    assert {"classification", *MEASUREMENTS} == set(dict(_ROW.findall(parts[0])))


def test_the_readme_has_the_methods_that_there_are():
    rows = _ROW.findall(_sections(ROOT / "README.md")["Methods"])
    assert {name for name, _ in rows} == set(methods())


def test_the_run_folder_reference_has_every_metric_and_every_key_of_a_comparison_a_sweep_and_a_table():
    text = (REFERENCE / "run-folder.md").read_text(encoding="utf-8")
    kinds = (Comparison, MethodResult, Trial, MethodPair, ConfusablePair)
    kinds += (SweepResult, SweepTrial, SweepBaseline, SearchSpace)
    kinds += (Reproduction, ColumnData, CellFigures)
    keys = {field.name for kind in kinds for field in fields(kind)}
    assert not (keys | set(METRICS)) - set(re.findall(r"`(\w+)`", text))
