from __future__ import annotations

import sys

import pytest

from tellapart.training.progress import RunsBar, part_of_run, rows_bar, show_phase


@pytest.fixture
def terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def shown(action) -> str:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        action()
        return capsys.readouterr().err

    return shown


def _runs(**options) -> None:
    with RunsBar(3, 1, **options) as runs:
        for seed in (1, 2):
            show_phase(f"training seed {seed}", quiet=False)
            with rows_bar(5, quiet=False) as progress:
                progress(5)
            runs.finish(f"seed {seed}: 0.9")


def test_where_there_is_no_terminal_each_run_is_a_line_after_those_that_were_finished(capsys):
    _runs()
    assert capsys.readouterr() == ("", "2/3 seed 1: 0.9\n3/3 seed 2: 0.9\n")


def test_a_quiet_bar_shows_nothing(capsys):
    with RunsBar(3, quiet=True) as runs:
        runs.show("training")
        runs.finish("seed 1: 0.9")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_one_bar_with_the_phase_and_the_time_left_above_the_lines(terminal):
    shown = terminal(_runs)
    assert "2/3 seed 1: 0.9" in shown
    assert "left" in shown
    assert "training seed 2" in shown
    assert "scoring" not in shown  # the bar of a single run


def test_a_terminal_has_a_bar_of_rows_outside_several_runs(terminal):
    def scored() -> None:
        with rows_bar(5, quiet=False) as progress:
            progress(5)

    assert "scoring" in terminal(scored)


def test_a_file_gets_the_names_of_phases_and_no_bars(capsys):
    with part_of_run("model 2 of 3"), part_of_run("refit"):
        show_phase("training, stage 1 of 2", quiet=False)
    with rows_bar(5, quiet=False) as progress:
        progress(5)
    show_phase("evaluation", quiet=True)
    assert capsys.readouterr().err == "model 2 of 3: refit: training, stage 1 of 2\n"
