"""Files of explained texts: page, JSON and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tellapart.errors import UserError
from tellapart.files import write_json
from tellapart.inspection.word_effects import WordEffects
from tellapart.inspection.word_figure import save_word_effects
from tellapart.inspection.word_page import write_words_page

_SUFFIXES = (".html", ".json", ".png")


def is_explanation_file(output: str | Path) -> bool:
    """Whether `write_explanation` writes a single file there, not a folder."""
    return Path(output).suffix.lower() in _SUFFIXES


def check_explanation_output(output: str | Path) -> None:
    """Checks that an output is a file in one of the formats, or a folder.

    Raises:
        UserError: It is no folder yet, and has the suffix of another format; one with digits is part of a name.
    """
    path = Path(output)
    if path.suffix[1:].isalpha() and not is_explanation_file(path) and not path.is_dir():
        raise UserError(
            f"{path.name} is no page, JSON or figure",
            f"give a file with the suffix {', '.join(_SUFFIXES)}, or a folder",
        )


def write_explanation(
    output: str | Path, effects: Sequence[WordEffects], model: str, other_model: str = ""
) -> None:
    """Writes a page (`.html`), JSON or a figure (`.png`); into a folder all three, as `word-effects.html` ….

    Args:
        output: A file with one of these suffixes, or a folder.
        effects: From `word_effects`, at least one.
        model: Name of the model.
        other_model: Name of the other model; empty for none.

    Raises:
        OutputError: A file cannot be written.
    """
    if not is_explanation_file(output):
        for suffix in _SUFFIXES:
            write_explanation(Path(output) / f"word-effects{suffix}", effects, model, other_model)
        return
    path = Path(output)
    if path.suffix.lower() == ".html":
        write_words_page(path, effects, model, other_model)
    elif path.suffix.lower() == ".json":
        write_json(path, explanation(effects, model, other_model))
    else:
        save_word_effects(effects, path, (model, other_model))


def explanation(effects: Sequence[WordEffects], model: str, other_model: str = "") -> dict[str, Any]:
    """Returns the JSON form of the effects in a model, and in another one."""
    models = {"model": model, "other_model": other_model or None}
    return models | {"texts": [one.to_dict() for one in effects]}
