"""Tasks and labelling configuration for Label Studio.

The format is that of "Import pre-annotated data" in Label Studio's documentation (https://labelstud.io/guide/predictions).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tellapart.data.examples import TextSplit
from tellapart.errors import TellapartWarning
from tellapart.files import write_text

LABEL, TEXT, TEXT_PAIR = "label", "text", "text_pair"
"""Names of the choices and of the texts in the labelling configuration."""


def write_label_studio(
    path: str | Path,
    split: TextSplit,
    rows: Sequence[Mapping[str, Any]],
    *,
    label: str,
    score: str,
    classes: Sequence[str],
    model: str,
) -> None:
    """Writes tasks with a prediction to confirm or correct as JSON, and beside them the labelling configuration.

    Cells under the names of the texts and the choices are kept under another name, which a warning gives. Numbers
    that JSON lacks (NaN, infinity) are null.

    Args:
        path: The JSON file; the configuration has the suffix `.xml`.
        split: The texts, or pairs of texts.
        rows: Further cells of each row, which are kept beside the texts.
        label: The key in `rows` of the predicted class.
        score: The key of its probability, 0 to 1.
        classes: All class names.
        model: The model: of a folder the name is written, of the folder `model` of a run that of the run.

    Raises:
        OutputError: A file cannot be written.
    """
    names = [TEXT, TEXT_PAIR][: len(split.columns)]
    renamed = _renamed(rows[0] if rows else {}, [*names, LABEL])
    version = _model_name(model)
    tasks: list[dict[str, Any]] = [
        {
            "data": {renamed.get(key, key): _json(cell) for key, cell in row.items()}
            | dict(zip(names, texts, strict=True)),
            "predictions": [{"model_version": version, "score": row[score], "result": [_choice(row[label])]}],
        }
        for row, texts in zip(rows, zip(*split.columns, strict=True), strict=True)
    ]
    for key, other in renamed.items():
        message = f'The column "{key}" of the pool is "{other}" in {path}, where "{key}" is that of the task.'
        warnings.warn(message, TellapartWarning, stacklevel=3)
    write_text(Path(path).with_suffix(".xml"), labelling_configuration(classes, pairs=len(names) > 1))
    write_text(path, json.dumps(tasks, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _renamed(columns: Collection[str], taken: Iterable[str]) -> dict[str, str]:
    """Returns a free name for each column that has the name of a text or of the choices."""
    renamed: dict[str, str] = {}
    for name in taken:
        if name in columns:
            free = f"pool_{name}"
            while free in columns:
                free = f"pool_{free}"
            renamed[name] = free
    return renamed


def _json(cell: Any) -> Any:
    """Returns a cell as JSON can hold it."""
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, list | tuple):
        return [_json(one) for one in cell]
    if isinstance(cell, dict):
        return {str(key): _json(one) for key, one in cell.items()}
    return cell if cell is None or isinstance(cell, str | int | bool) else str(cell)


def _model_name(model: str) -> str:
    """Returns the name of a model, without folders of this machine."""
    folder = Path(model).resolve()
    if not folder.exists():
        return model
    return (folder.parent if folder.name == "model" else folder).name


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": LABEL, "to_name": TEXT, "type": "choices", "value": {"choices": [label]}}


def labelling_configuration(classes: Sequence[str], *, pairs: bool) -> str:
    """Returns the XML of a project whose tasks are those of `write_label_studio`.

    Args:
        classes: The class names.
        pairs: Whether tasks are pairs of texts.
    """
    texts = [TEXT, TEXT_PAIR] if pairs else [TEXT]
    lines = [
        "<View>",
        *(f'  <Text name="{name}" value="${name}"/>' for name in texts),
        f'  <Choices name="{LABEL}" toName="{TEXT}" choice="single" showInline="true">',
        *(f"    <Choice value={quoteattr(name)}/>" for name in classes),
        "  </Choices>",
        "</View>",
    ]
    return "\n".join(lines) + "\n"
