"""The declared comparisons can run, and their page is what the results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tellapart.data.examples import LabelSpace
from tellapart.data.label_texts import read_label_texts
from tellapart.evaluation.comparison import Trial, build_comparison
from tellapart.recipes import compared_recipes

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
FACTS = ("processor", "cores", "device", "torch", "transformers", "python", "tellapart")
CLASSES = {
    "trec6": ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
    "cr": ("negative", "positive"),
    "wikiqa": ("0", "1"),
}


@pytest.fixture(scope="module")
def scripts(benchmark_script):
    """The modules gains and gains_pages."""
    return benchmark_script("gains"), benchmark_script("gains_pages")


def test_every_declared_arm_is_a_method_with_settings_of_its_own(scripts):
    gains, _ = scripts
    declared = gains.protocol()
    for name in declared["sets"]:
        arms = gains.arms_of(declared, name)
        assert len(compared_recipes(gains.recipe_for(declared, name), list(arms.values()))) == len(arms)
    for pair in declared["comparisons"].values():
        assert set(pair) <= set(declared["arms"])


@pytest.mark.parametrize("name", CLASSES)
def test_the_descriptions_fit_the_classes(name):
    texts = read_label_texts(str(BENCHMARKS / "label_texts" / f"{name}.yaml"), LabelSpace(CLASSES[name]))
    assert set(texts.labels) == set(CLASSES[name])


def test_the_page_tests_each_declared_comparison_with_one_correction(scripts, monkeypatch):
    _, pages = scripts
    declared = {
        "remark": "Few rows.",
        "arms": {"plain": "cross-entropy", "new": "contrast", "left": "tfidf"},
        "comparisons": {"new against plain": ["plain", "new"], "left against plain": ["plain", "left"]},
        "sets": {
            "a": {"title": "Set A"},
            "b": {"title": "Set B"},
            "a-all": {"title": "Set A, all rows", "variant_of": "a"},
        },
    }
    gained = {
        "a": (0.02, 0.03, 0.025, 0.028),
        "b": (0.01, -0.01, 0.005, -0.006),
        "a-all": (0.01, 0.02, 0.01, 0.02),
    }
    methods = {"plain": "cross-entropy", "new": "contrast"}
    sets = [
        pages.Measured(name, declared["sets"][name], _comparison(gained[name]), methods) for name in gained
    ]
    monkeypatch.setattr(pages, "protocol", lambda: declared)
    monkeypatch.setattr(pages, "measured_sets", lambda declared: sets)
    monkeypatch.setattr(pages, "peer_runs", list)
    page = pages.gains_page()
    assert "## Peers" not in page
    assert "correction for all 3 tests" in page
    (first,) = [line for line in page.splitlines() if "Set A | +" in line]
    assert "+2.58" in first
    assert "4 : 0" in first
    (second,) = [line for line in page.splitlines() if "Set B | -" in line]
    assert "2 : 2" in second
    assert "|  | metric | plain | new |\n" in page
    assert "| Set A | accuracy | 80.00 (4) | 82.58 (4) |" in page
    assert "Declared, and not run yet: left against plain." in page
    assert "| new against plain | 2 | 1 |" in page


def test_the_page_shows_peers_beside_the_recommended_method(scripts, monkeypatch):
    _, pages = scripts
    declared = {
        "remark": "Few rows.",
        "arms": {},
        "comparisons": {},
        "sets": {"a": {"title": "Set A"}},
        "peers": {
            "remark": "Same rows.",
            "sets": ["a"],
            "rows": {"SetFit": {}, "TF-IDF": {}, "recommended": {}},
        },
        "changes": ["A row was added."],
    }
    runs = [
        {"set": "a", "row": row, "seed": seed, "accuracy": accuracy, "processor_seconds": seconds}
        for seed in (0, 1)
        for row, accuracy, seconds in (("SetFit", 0.7 + 0.06 * seed, 90.0), ("recommended", 0.8, 30.0))
    ]
    monkeypatch.setattr(pages, "protocol", lambda: declared)
    monkeypatch.setattr(pages, "measured_sets", lambda declared: [])
    monkeypatch.setattr(pages, "peer_runs", lambda: runs)
    page = pages.gains_page()
    assert "| SetFit | Set A | 73.00 | 90.0 | 3 | 2 |" in page
    assert "| recommended | Set A | 80.00 | 30.0 | 1 | 2 |" in page
    assert "| recommended | SetFit | Set A | +7.00 |  | 2 : 0 | 0.33 |" in page
    assert "TF-IDF" not in page
    assert "- A row was added." in page


def test_the_readme_compares_the_peers_on_the_seeds_that_all_of_them_have(scripts, monkeypatch):
    _, pages = scripts
    sets = {"a": {"title": "Set A"}, "b": {"title": "Set B"}}
    monkeypatch.setattr(pages, "protocol", lambda: {"sets": sets, "peers": {"sets": ["a", "b"]}})
    measured = ((0.9, 30.0), (0.8, 60.0), (0.7, 900.0), (0.6, 1200.0), (0.5, 0.2))
    rows = dict(zip(pages._PEERS, measured, strict=True))
    runs = [
        {"set": "a", "row": row, "seed": seed, "accuracy": accuracy - seed / 10, "processor_seconds": seconds}
        for row, (accuracy, seconds) in rows.items()
        for seed in ((0, 1) if row == "recommended" else (0,))
    ]
    monkeypatch.setattr(pages, "peer_runs", lambda: runs)
    *_, line = pages.peers_table().splitlines()
    cells = ("90.0 (30 s)", "80.0 (60 s)", "70.0 (900 s)", "60.0 (1,200 s)", "50.0 (below 1 s)")
    assert line == f"| Set A | {' | '.join(cells)} | 1 |"


def test_further_seeds_are_added_where_the_last_known_one_came_out_the_same(scripts):
    gains, _ = scripts
    known = {"arms": {"plain": "cross-entropy", "new": "contrast"}, **_comparison((0.02, 0.03)).to_dict()}
    joined = gains.joined(known, _comparison((0.03, 0.01, 0.04), first=1))
    assert joined.methods["contrast"].scores == pytest.approx({0: 0.82, 1: 0.83, 2: 0.81, 3: 0.84})
    assert joined.seeds == (0, 1, 2, 3)
    with pytest.raises(SystemExit, match=r"contrast, seed 1: 0\.83\d* on record, 0\.82"):
        gains.joined(known, _comparison((0.02, 0.01), first=1))


def _comparison(gains: tuple[float, ...], first: int = 0):
    def trials(scores):
        return [Trial(seed, score, {"accuracy": score}, 1.0) for seed, score in enumerate(scores, first)]

    return build_comparison(
        {"cross-entropy": trials([0.8] * len(gains)), "contrast": trials([0.8 + gain for gain in gains])},
        {},
        source="x",
        split_sizes={"train": 4},
        encoder="minilm",
        metric="accuracy",
        class_names=("a", "b"),
        environment=dict.fromkeys(FACTS, "x"),
    )
