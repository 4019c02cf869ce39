"""The generated pages are what the committed JSON says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tellapart.evaluation.reproduction import ColumnData, ColumnResult, Reproduction, column_figures
from tellapart.recipes.protocols import load_protocol

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "pages.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(script):
    return script.pages()


def test_every_page_with_numbers_is_the_one_that_the_results_give(pages):
    assert len(pages) >= 4
    for path, content in pages.items():
        assert path.read_text(encoding="utf-8") == content, (
            f"run python benchmarks/pages.py: {path.name} is stale"
        )


def test_no_other_page_stands_among_them(pages):
    folder = next(path for path in pages if path.name == "training-speed.md").parent
    assert set(folder.iterdir()) == {path for path in pages if path.parent == folder}


def test_a_table_that_was_run_again_has_a_page_and_stands_in_the_index(script, tmp_path, monkeypatch):
    name, protocol = load_protocol("clld-table3")
    trial = {"seed": 0, "metrics": {"accuracy": 0.8125}, "seconds": 1.0}
    result = Reproduction(
        table=name,
        protocol=protocol,
        command="tellapart reproduce clld-table3",
        encoders={"bert": "minilm"},
        settings=(),
        seeds=(0,),
        confidence=0.95,
        columns={
            "20ng": ColumnResult(
                ColumnData({"train": 3}), column_figures(protocol, "20ng", {"ct": [trial]}, {})
            )
        },
        environment=dict.fromkeys(
            ("processor", "cores", "device", "torch", "transformers", "python", "tellapart"), "x"
        ),
    )
    (tmp_path / "reproduce").mkdir()
    (tmp_path / "reproduce" / f"{name}.json").write_text(json.dumps(result.to_dict()))
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    ((found, again),) = script.reproductions().items()
    page = script.reproduction_page(found, again)
    assert "| CT | 85.3 / 81.25 |" in page
    assert f"[{protocol.title}]({name}.md)" in script.index_page()
