from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import date

import pytest

from tellapart.data.examples import TextSplit
from tellapart.data.label_studio import write_label_studio
from tellapart.errors import TellapartWarning


def _written(path, rows, split, model="tickets"):
    given = {"label": "suggested", "score": "probability", "classes": ["a", "b"], "model": model}
    write_label_studio(path, split, [{"suggested": "a", "probability": 0.5} | row for row in rows], **given)

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_columns_with_the_names_of_the_task_are_kept_under_other_names(tmp_path):
    rows = [{"text": "of the pool", "label": 3, "pool_text": "taken", "text_pair": "free"}]
    with pytest.warns(TellapartWarning) as warned:
        (task,) = _written(tmp_path / "tasks.json", rows, TextSplit(["to label"]))
    assert task["data"] == {
        "suggested": "a",
        "probability": 0.5,
        "text": "to label",
        "pool_pool_text": "of the pool",
        "pool_text": "taken",
        "pool_label": 3,
        "text_pair": "free",
    }
    assert ['"pool_pool_text"' in str(one.message) for one in warned] == [True, False]
    view = ET.parse(tmp_path / "tasks.xml").getroot()
    assert view.find("Text").get("value") == "$text"


def test_cells_that_json_lacks_are_null_or_text(tmp_path):
    nan, infinite = float("nan"), float("inf")
    rows = [
        {"a": nan, "b": [1.5, infinite], "c": {"d": -infinite}, "e": date(2026, 1, 2), "f": None, "g": True}
    ]
    (task,) = _written(tmp_path / "tasks.json", rows, TextSplit(["a"], ["b"]))
    cells = {key: task["data"][key] for key in "abcefg"}
    assert cells == {"a": None, "b": [1.5, None], "c": {"d": None}, "e": "2026-01-02", "f": None, "g": True}


@pytest.mark.parametrize(
    ("place", "name"), [("runs/tickets", "tickets"), ("runs/tickets/model", "tickets"), ("runs/x", "x")]
)
def test_the_model_is_named_without_folders_of_this_machine(tmp_path, place, name):
    (tmp_path / place).mkdir(parents=True)
    (task,) = _written(tmp_path / "tasks.json", [{}], TextSplit(["a"]), model=str(tmp_path / place))
    assert task["predictions"][0]["model_version"] == name
    assert str(tmp_path) not in (tmp_path / "tasks.json").read_text()
    assert _written(tmp_path / "t.json", [{}], TextSplit(["a"]), "me/tickets")[0]["predictions"][0][
        "model_version"
    ] == ("me/tickets")
