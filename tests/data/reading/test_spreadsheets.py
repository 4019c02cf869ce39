from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from tellapart.data.benchmarks.registry import named_tables
from tellapart.errors import DataError, MissingDependencyError

SYMPTOMS = ("Influenza", "Diarrhea", "Hayfever", "Cough", "Headache", "Fever", "Runnynose", "Cold")
HEADER = ["ID", "Tweet", *SYMPTOMS]


def workbook(folder: Path, name: str, rows: list[list[object]]) -> None:
    book = openpyxl.Workbook()
    about = book.active
    about.title = "ReadMe"
    about.append(["MedWeb", "2017"])
    sheet = book.create_sheet("ja_train")
    for row in rows:
        sheet.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    book.save(folder / name)


def test_medweb_is_read_from_the_excel_files_of_the_task(put: Callable[..., Path]) -> None:
    folder = put("medweb-ja", {}) / "MedWeb_TestCollection"
    none = ["n"] * 8
    rows = [
        HEADER,
        ["1ja", "風邪を引くと全身がだるくなる。", *none],
        ["2ja", "花粉症の症状が出てきた。", "n", "n", "p", "n", "n", "n", "p", "n"],
    ]
    workbook(folder, "NTCIR-13_MedWeb_ja_training.xlsx", rows)
    workbook(folder, "NTCIR-13_MedWeb_ja_test.xlsx", [*rows[:2], [None] * 10])
    workbook(folder, "NTCIR-13_MedWeb_en_test.xlsx", rows[:1])
    assert {
        split: [tuple(row.values()) for row in table.to_pylist()]
        for split, table in named_tables("medweb-ja")[0].items()
    } == {
        "train": [
            ("風邪を引くと全身がだるくなる。", []),
            ("花粉症の症状が出てきた。", ["Hayfever", "Runnynose"]),
        ],
        "test": [("風邪を引くと全身がだるくなる。", [])],
    }


def test_an_excel_file_without_the_columns_or_a_text_is_refused(put: Callable[..., Path]) -> None:
    folder = put("medweb-ja", {})
    workbook(folder, "NTCIR-13_MedWeb_ja_test.xlsx", [["ID", "Tweet"], ["1ja", "a"]])
    with pytest.raises(DataError, match="no sheet with the columns Tweet, Influenza"):
        named_tables("medweb-ja")
    workbook(folder, "NTCIR-13_MedWeb_ja_test.xlsx", [HEADER])
    with pytest.raises(DataError, match="has no rows"):
        named_tables("medweb-ja")
    workbook(folder, "NTCIR-13_MedWeb_ja_test.xlsx", [HEADER, ["1ja", None, *["n"] * 8]])
    with pytest.raises(DataError, match=r'row 1 of .* has no "Tweet"'):
        named_tables("medweb-ja")


def test_an_excel_file_without_openpyxl_names_the_extra(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put("medweb-ja", {})
    workbook(folder, "NTCIR-13_MedWeb_ja_test.xlsx", [HEADER, ["1ja", "a", *["n"] * 8]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[xlsx\]'"):
        named_tables("medweb-ja")
