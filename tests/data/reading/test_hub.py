from __future__ import annotations

from typing import Any

import datasets
import pytest

from tellapart.data.reading.columns import Columns
from tellapart.data.reading.hub import HubSource, hub_tables
from tellapart.errors import DataError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    """A Hub of our own: sets, or errors to raise, by name and configuration."""
    contents: dict[tuple[str, str | None], Any] = {}

    def load(name: str, config: str | None = None) -> Any:
        found = contents[name, config]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(datasets, "load_dataset", load)
    return contents


def glue_like() -> datasets.DatasetDict:
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["entailment", "not_entailment"]),
            "idx": datasets.Value("int32"),
        }
    )

    def rows(labels: list[int]) -> datasets.Dataset:
        count = len(labels)
        columns = {
            "question": ["q"] * count,
            "sentence": ["s"] * count,
            "label": labels,
            "idx": [*range(count)],
        }
        return datasets.Dataset.from_dict(columns, features=features)

    return datasets.DatasetDict(train=rows([0, 1]), validation_matched=rows([1]), test=rows([-1, -1]))


def test_splits_with_labels_come_in_the_standard_columns(hub: dict) -> None:
    hub["o/glue", "qnli"] = glue_like()
    tables = HubSource("o/glue", Columns("question", "sentence", "label"), "qnli").tables()
    assert {name: table.to_pydict() for name, table in tables.items()} == {
        "train": {"text": ["q", "q"], "text_pair": ["s", "s"], "label": ["entailment", "not_entailment"]}
    }


def test_splits_of_unusual_name_can_be_chosen(hub: dict) -> None:
    hub["o/glue", None] = glue_like()
    tables = hub_tables("o/glue", splits={"train": "train", "validation": "validation_matched"})
    assert [len(table) for table in tables.values()] == [2, 1]


def test_labels_can_be_given_names(hub: dict) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    hub["o/s", None] = datasets.DatasetDict(train=rows)
    source = HubSource("o/s", Columns("text", label="label"), label_names={"0": "no", "1": "yes"})
    assert source.tables()["train"]["label"].to_pylist() == ["no", "yes"]


def test_a_label_or_a_column_that_the_set_did_not_have_is_one_clear_error(hub: dict) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 2]})
    hub["o/s", None] = datasets.DatasetDict(train=rows)
    names = {"0": "no", "1": "yes"}
    with pytest.raises(DataError, match=r'o/s \(train\) has the label "2" in row 2: use one of 0, 1'):
        HubSource("o/s", Columns("text", label="label"), label_names=names).tables()
    with pytest.raises(DataError, match='has no column "sentence"'):
        HubSource("o/s", Columns("sentence", label="label")).tables()


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ConnectionError("no route"), "HF_HUB_OFFLINE"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'o/s' doesn't exist"), "huggingface.co/datasets"),
        (ValueError("Config name is missing."), 'written "name/config"'),
        (RuntimeError("Dataset scripts are no longer supported"), "huggingface.co/datasets"),
    ],
)
def test_what_the_hub_refuses_is_one_clear_error(hub: dict, error: Exception, remedy: str) -> None:
    hub["o/s", None] = error
    with pytest.raises(DataError, match=remedy):
        hub_tables("o/s")
