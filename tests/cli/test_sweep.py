from __future__ import annotations

import json
from pathlib import Path

import pytest

from tellapart.recipes import load_recipe

OVER = ("--over", "stages.0.regularisation=0.01,10", "--method", "frozen")


@pytest.fixture(scope="module")
def head_only(tiny_encoder):
    """The options of a trial that takes a tenth of a second."""
    return ("--encoder", tiny_encoder, "--max-length", "24", "--baseline", "none", "--quiet")


def test_sweep_shows_the_trials_the_best_the_files_and_the_command_that_trains_with_it(
    tellapart, ticket_file, head_only, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    finished = tellapart("sweep", ticket_file, *OVER, *head_only)
    assert finished.code == 0
    folder = Path("runs/tickets-frozen-sweep")
    for shown in ("regularisation", "accuracy (%)", "0.01", "best: regularisation=", f"written to {folder}"):
        assert shown in finished.out
    assert {"best.yaml", "sweep.html", "sweep.json", "sweep.png"} <= set(finished.out.split())
    command = finished.out.splitlines()[-1].removeprefix("next: tellapart ")
    trained = tellapart(*command.split(), "--output", "trained", "--quiet")
    assert trained.code == 0
    best = json.loads((folder / "sweep.json").read_text())["best"]
    recipe = load_recipe("trained/recipe.yaml")
    assert recipe.stages[0].regularisation == best["parameters"]["stages.0.regularisation"]


def test_sweep_with_json_prints_nothing_else_and_resume_gives_the_same(
    tellapart, ticket_file, head_only, tmp_path
):
    arguments = (
        "sweep",
        ticket_file,
        *OVER,
        *head_only,
        "--seeds",
        2,
        "--output",
        tmp_path / "out",
        "--json",
    )
    content = json.loads(tellapart(*arguments).out)
    assert [trial["state"] for trial in content["trials"]] == ["complete"] * 2
    assert set(content["trials"][0]["scores"]) == {"0", "1"}
    again = json.loads(tellapart(*arguments, "--resume").out)
    assert again == content


def test_sweep_without_a_mentioned_baseline_holds_the_trials_against_cross_entropy(
    tellapart, ticket_file, quick, tmp_path
):
    arguments = (
        "sweep",
        ticket_file,
        *quick,
        *OVER,
        "--trials",
        1,
        "--no-prune",
        "--output",
        tmp_path / "out",
    )
    finished = tellapart(*arguments)
    assert finished.code == 0
    assert "vs cross-entropy" in finished.out
    content = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert (content["baseline"]["method"], len(content["trials"])) == ("cross-entropy", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing is named to search for"),
        (("--over", "stages.0.epochs"), "is no search space"),
        (("--over", "stages.0.epoch=1,2"), 'did you mean "epochs"'),
        (("--over", "stages.0.epochs=1,-2"), "stages.0.epochs cannot be -2"),
        (("--over", "stages.0.epochs=8..2"), "the smaller end first"),
        (("--over", "encoder.pooling=max,mean"), "encoder.pooling cannot be 'max'"),
        (("--over", "seed=1..3"), "--seeds"),
        (("--over", "stages.0.epochs=1,2", "--baseline", "nothing"), 'there is no method "nothing"'),
    ],
)
def test_a_wrong_search_is_one_sentence_and_exit_code_2(tellapart, ticket_file, tmp_path, arguments, message):
    finished = tellapart("sweep", ticket_file, "--output", tmp_path / "out", *arguments)
    assert finished.code == 2
    assert finished.out == ""
    (line,) = finished.err.strip().splitlines()
    assert line.startswith("error: ")
    assert line.endswith(".")
    assert message in line
    assert not (tmp_path / "out").exists()
