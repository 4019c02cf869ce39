"""Tasks and labelling configuration for Label Studio.

The format is that of "Import pre-annotated data" in Label Studio's documentation (https://labelstud.io/guide/predictions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tellapart.data.examples import TextSplit
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

    Args:
        path: The JSON file; the configuration has the suffix `.xml`.
        split: The texts, or pairs of texts.
        rows: Further cells of each row, which are kept beside the texts.
        label: The key in `rows` of the predicted class.
        score: The key of its probability, 0 to 1.
        classes: All class names.
        model: Name of the model.

    Raises:
        OutputError: A file cannot be written.
    """
    names = [TEXT, TEXT_PAIR][: len(split.columns)]
    tasks: list[dict[str, Any]] = [
        {
            "data": dict(row) | dict(zip(names, texts, strict=True)),
            "predictions": [{"model_version": model, "score": row[score], "result": [_choice(row[label])]}],
        }
        for row, texts in zip(rows, zip(*split.columns, strict=True), strict=True)
    ]
    write_text(Path(path).with_suffix(".xml"), labelling_configuration(classes, pairs=len(names) > 1))
    write_text(path, json.dumps(tasks, indent=2, ensure_ascii=False, default=str) + "\n")


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
