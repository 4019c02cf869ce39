"""The generated pages are what the committed JSON says."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from tellapart.reproduction.figures import ColumnData, ColumnResult, Reproduction, column_figures
from tellapart.reproduction.request import load_protocol

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "pages.py"


@pytest.fixture(scope="module")
def module(benchmark_script):
    return benchmark_script("pages")


@pytest.fixture(scope="module")
def pages(module):
    return module.pages()


def test_every_page_with_numbers_is_the_one_that_the_results_give(pages):
    assert len(pages) >= 4
    for path, content in pages.items():
        assert path.read_text(encoding="utf-8") == content, (
            f"run python benchmarks/pages.py: {path.name} is stale"
        )


def test_every_figure_is_of_the_results_that_are_there(module):
    images = pytest.importorskip("PIL.Image")
    for path in module.figures():
        results = SCRIPT.parent / "results" / f"{path.stem}.json"
        with images.open(path) as image:
            drawn_from = image.info["Description"]
        current = hashlib.sha256(results.read_bytes()).hexdigest()
        assert drawn_from == current, f"run python benchmarks/pages.py: {path.name} is stale"


def test_no_other_page_stands_among_them(module, pages):
    folder = next(path for path in pages if path.name == "training-speed.md").parent
    known = {path for path in pages if path.parent == folder} | set(module.figures())
    assert set(folder.iterdir()) == known


def test_a_table_that_was_run_again_has_a_page_and_stands_in_the_index(module, tmp_path, monkeypatch):
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
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    ((found, again),) = module.reproductions().items()
    page = module.reproduction_page(found, again)
    assert "| CT | 85.3 / 81.25 |" in page
    assert f"[{protocol.title}]({name}.md)" in module.index_page()


def test_a_simulation_of_labelling_adds_no_runs_of_another_encoder_to_its_results(
    module, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    simulation = importlib.import_module("active_learning")
    file = tmp_path / "results.json"
    settings = {"encoder": "minilm", "rounds": 5}
    assert simulation.earlier_results(file, settings) == settings | {"sets": {}}
    file.write_text(json.dumps(settings | {"sets": {"trec6": {}}}))
    assert simulation.earlier_results(file, settings)["sets"] == {"trec6": {}}
    for other in ({"encoder": "mpnet"}, {"rounds": 4}):
        with pytest.raises(SystemExit, match="choose another --output"):
            simulation.earlier_results(file, settings | other)
