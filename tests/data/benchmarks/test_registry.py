from __future__ import annotations

import errno
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.benchmarks import registry as benchmarks
from tellapart.data.benchmarks.arxiv import ARCHIVES
from tellapart.data.benchmarks.base import BenchmarkSet, PublishersSource
from tellapart.data.benchmarks.registry import SETS, fetch, registered
from tellapart.data.reading.hub import HubSource
from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError, OutputError, TellapartWarning

TABLES = {
    "train": pa.table({"text": ["a", "b"], "label": ["x", "y"]}),
    "test": pa.table({"text": ["c"], "label": ["x"]}),
}


class Source:
    """A place to fetch from that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def tables(self) -> dict[str, pa.Table]:
        self.asked += 1
        return TABLES

    def __str__(self) -> str:
        return "a place"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Where r8 comes from in these tests; the cache and no local folder are set."""
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    place = Source()
    small = replace(registered()["r8"], source=place, sizes={"train": 2, "test": 1})  # type: ignore[arg-type]
    monkeypatch.setattr(benchmarks, "SETS", (small,))
    return place


def test_a_set_is_fetched_once_into_the_cache(source: Source, tmp_path: Path) -> None:
    folder = fetch("r8")
    assert folder == tmp_path / "cache" / "r8"
    assert fetch("r8") == folder
    assert source.asked == 1
    assert pq.read_table(folder / "train.parquet") == TABLES["train"]
    assert json.loads((folder / "source.json").read_text())["source"] == "a place"


def test_a_registered_name_is_read_with_its_note(source: Source) -> None:
    data = read_data("r8")
    assert (data.source, len(data.train), len(data.test or [])) == ("r8", 2, 1)
    assert any("4 test texts are also in train" in note for note in data.notes)


def test_other_sizes_than_expected_are_warned_of(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "SETS", (replace(registered()["r8"], sizes={"train": 9}),))
    with pytest.warns(TellapartWarning, match="expected"):
        fetch("r8")


def test_a_folder_of_the_users_comes_before_everything(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("r8", "mine"):
        (tmp_path / "own" / name).mkdir(parents=True)
        pq.write_table(TABLES["train"], tmp_path / "own" / name / "train.parquet")
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "own"))
    assert fetch("r8") == tmp_path / "own" / "r8"
    assert len(read_data("mine").train) == 2
    assert source.asked == 0


def test_names_cannot_lead_out_of_the_users_folder(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path / "own"))
    for name in ("../other", "..", "."):
        with pytest.raises(DataError, match="no set is registered"):
            fetch(name)


def test_a_full_disk_leaves_no_half_set(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(OutputError):
        fetch("r8")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_unknown_name_is_answered_with_the_closest(source: Source) -> None:
    with pytest.raises(DataError, match=r'registered as "r-8" \(did you mean "r8"'):
        fetch("r-8")


def test_the_registry_is_sound_and_can_be_written_as_json() -> None:
    sets = registered()
    assert {"r8", "r52", "20ng", "trec6", "banking77", "sst2", "sst5", "mr", "cr", "subj"} <= set(sets)
    for name, one in sets.items():
        json.dumps(asdict(one))
        assert one.name == name
        assert one.sizes["train"] > 0
        assert one.sizes.keys() <= {"train", "validation", "test"}
        if one.overlap is not None:
            assert f"{one.overlap} " in one.note
            assert "also in train" in one.note
        if isinstance(one.source, PublishersSource):
            assert one.originals
        if isinstance(one.source, HubSource):
            assert (one.source.columns.text_pair is not None) == (
                one.task in ("pair", "ranking", "regression")
            )
            assert (one.source.columns.question_id is not None) == (one.task == "ranking")


def test_the_overlaps_that_were_counted_are_there_to_be_read() -> None:
    counted = {name: one.overlap for name, one in registered().items() if one.overlap is not None}
    assert counted == {
        "r8": 4,
        "r52": 6,
        "trec6": 10,
        "banking77": 6,
        "sst5": 2,
        "cola": 16,
        "chnsenticorp": 331,
        "stsb": 6,
    }


PAIRS = {"sentence1": ["银行卡"], "sentence2": ["怎么开卡"]}
HUB_ROWS = {
    "bq": (PAIRS | {"score": [1]}, ("银行卡", "怎么开卡", "1")),
    "lcqmc": (PAIRS | {"score": [0]}, ("银行卡", "怎么开卡", "0")),
    "chnsenticorp": ({"text": ["很好"], "label": [1]}, ("很好", "positive")),
    "tnews": ({"sentence": ["上课"], "label": ["108"], "idx": [0]}, ("上课", "news_edu")),
}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_the_chinese_sets_are_read_in_the_columns_of_their_copies_on_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, row = HUB_ROWS[name]

    def load(*asked: str | None) -> datasets.DatasetDict:
        source = registered()[name].source
        assert isinstance(source, HubSource)
        assert asked == (source.name, source.config)
        return datasets.DatasetDict(dict.fromkeys(["train", "validation", "test"], rows))

    rows = datasets.Dataset.from_dict(columns)
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path))
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    with pytest.warns(TellapartWarning, match="were expected"):
        folder = fetch(name)
    assert tuple(pq.read_table(folder / "train.parquet").to_pylist()[0].values()) == row
    assert {path.stem for path in folder.glob("*.parquet")} == registered()[name].sizes.keys()


# ---- docs/reference/data-sets.md ----

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "data-sets.md"


def table_after(heading: str) -> list[str]:
    """The rows of the first table after a line, without its header."""
    text = PAGE.read_text(encoding="utf-8").split(f"{heading}\n", maxsplit=1)[1]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows
    return rows[0].splitlines()[2:]


def set_row(one: BenchmarkSet) -> str:
    sizes = " / ".join(f"{count:,}" for count in one.sizes.values())
    cells = (
        f"`{one.name}`",
        one.task,
        str(one.classes),
        sizes,
        str(one.source),
        one.license,
        one.note or "–",
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_of_the_sets_says_what_the_registry_says() -> None:
    assert table_after("# Data sets") == [set_row(one) for one in SETS]


def test_the_page_of_the_sets_has_the_published_files_that_are_read() -> None:
    expected = [f"| `{one.name}` | {form} |" for one in SETS for form in one.originals]
    assert table_after("## Files as published") == expected


def test_the_page_of_the_sets_has_the_archives_that_can_be_asked_for() -> None:
    text = PAGE.read_text(encoding="utf-8")
    line = re.search(r"^Archives: (.*)\.$", text, re.MULTILINE)
    assert line
    assert tuple(re.findall(r"`([\w-]+)`", line[1])) == ARCHIVES
