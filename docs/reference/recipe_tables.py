"""Rewrites the tables of recipes.md from the schemas; run `python docs/reference/recipe_tables.py`."""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tellapart.objectives.options import OBJECTIVES, ClassificationOptions
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import DataRecipe, DecisionRecipe, EncoderRecipe, Recipe, StageRecipe

PAGE = Path(__file__).with_name("recipes.md")
SECTIONS: dict[str, type[BaseModel]] = {
    "recipe": Recipe,
    "data": DataRecipe,
    "encoder": EncoderRecipe,
    "stages": StageRecipe,
    "decision": DecisionRecipe,
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


def rewritten(page: str) -> str:
    """Returns the page with the table of each section made anew; the text around it stays."""
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
        f"{sign} {getattr(limit, name):g}"
        for limit in limits
        for name, sign in _SIGNS.items()
        if hasattr(limit, name)
    )
    return _WORDS[get_origin(kind) or kind] + "".join(f" {sign}" for sign in [" and ".join(signs)] if sign)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
