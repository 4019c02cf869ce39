"""Rewrites the tables of recipes.md, and the options of recipes in command-line.md, from the schemas.

Run `python docs/reference/recipe_tables.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tellapart.cli.options import RECIPE_PLACES, field_at, help_text
from tellapart.cli.pretrain import PRETRAIN_PLACES
from tellapart.objectives.options import OBJECTIVES, ClassificationOptions
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import (
    AbstainRecipe,
    DataRecipe,
    DecisionRecipe,
    EncoderRecipe,
    Recipe,
    SelfTrainingRecipe,
    StageRecipe,
)

RECIPES = Path(__file__).with_name("recipes.md")
COMMANDS = Path(__file__).with_name("command-line.md")
SECTIONS: dict[str, type[BaseModel]] = {
    "recipe": Recipe,
    "data": DataRecipe,
    "encoder": EncoderRecipe,
    "stages": StageRecipe,
    "decision": DecisionRecipe,
    "abstain": AbstainRecipe,
    "self_training": SelfTrainingRecipe,
    "every objective": ClassificationOptions,
    **{f"objective {name}": kind for name, kind in OBJECTIVES.items()},
    "pretrain": PretrainRecipe,
}
_WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
    dict: "mapping",
    list: "list",
}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _number(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def rewritten_commands(page: str) -> str:
    """Returns command-line.md with the meaning of each option that sets a key of a recipe."""
    sections = re.split(r"(?=^## )", page, flags=re.MULTILINE)
    for number, section in enumerate(sections):
        of_pretrain = section.startswith("## `tellapart pretrain [")
        if not of_pretrain and not section.startswith(_WITH_RECIPE_OPTIONS):
            continue
        places, model = (PRETRAIN_PLACES, PretrainRecipe) if of_pretrain else (RECIPE_PLACES, Recipe)
        for option, path in (pair for panel in places.values() for pair in panel.items()):
            text = help_text(field_at(model, path)).replace("[bold]", "`").replace("[/]", "`")
            row = rf"^(\| `--{option.replace('_', '-')}[ `].*\| )[^|]*\|$"
            section = re.sub(row, lambda match, text=text: f"{match[1]}{text} |", section, flags=re.MULTILINE)
        sections[number] = section
    return "".join(sections)


_WITH_RECIPE_OPTIONS = ("## Options that verbs share", "## `tellapart train", "## `tellapart sweep")


def rewritten(page: str) -> str:
    """Returns recipes.md with the table of each section made anew; the text around it stays."""
    for heading, model in SECTIONS.items():
        page, count = re.subn(
            rf"(^## {re.escape(heading)}\n(?:(?!## |\|).*\n)*)((?:\|.*\n)+)?",
            lambda match, model=model, heading=heading: match[1] + _table(heading, model),
            page,
            flags=re.MULTILINE,
        )
        assert count == 1, heading
    return page


def _table(heading: str, model: type[BaseModel]) -> str:
    shared = {"name", *ClassificationOptions.model_fields} if heading.startswith("objective ") else set()
    rows = [
        f"| `{key}` | {_default(field)} | {_values(field.annotation, field.metadata)} | {field.description} |\n"
        for key, field in model.model_fields.items()
        if key not in shared
    ]
    if heading == "every objective":
        rows.insert(0, "| `name` | required | text | The objective, one of the headings below. |\n")
    header = "| key | default | values | meaning |\n| --- | --- | --- | --- |\n"
    return header + "".join(rows) if rows else ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or (isinstance(value, list) and value):
        return "see below"
    text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    return f"`{text}`"


def _values(kind: Any, limits: list[Any]) -> str:
    """The values that a key takes, in words: its type and its range."""
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        inner, *metadata = parts
        return _values(inner, [limit for one in metadata for limit in getattr(one, "metadata", [one])])
    if get_origin(kind) in (Union, UnionType):
        if any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts):
            return "section"
        return ", ".join("`null`" if part is NoneType else _values(part, limits) for part in parts)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    signs = (
        f"{sign} {_number(getattr(limit, name))}"
        for limit in limits
        for name, sign in _SIGNS.items()
        if hasattr(limit, name)
    )
    return _WORDS[get_origin(kind) or kind] + "".join(f" {sign}" for sign in [" and ".join(signs)] if sign)


if __name__ == "__main__":
    RECIPES.write_text(rewritten(RECIPES.read_text(encoding="utf-8")), encoding="utf-8")
    COMMANDS.write_text(rewritten_commands(COMMANDS.read_text(encoding="utf-8")), encoding="utf-8")
