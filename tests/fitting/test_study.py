from __future__ import annotations

import contextlib
from pathlib import Path

import optuna
import pytest

from tellapart.errors import OutputError, RecipeError, UserError
from tellapart.fitting.study import SweepStudy, open_study
from tellapart.recipes.spaces import SearchSpace

TWO_RANGES = [SearchSpace("x", low=0.0, high=1.0), SearchSpace("y", low=1, high=512, step=1, log=True)]


@contextlib.contextmanager
def _search(folder: Path, spaces, trials=None, seed=0):
    file = folder / "study.db"
    with open_study(file, greater_is_better=True, prune=True) as study:
        yield SweepStudy(study, spaces, trials, seed)


def _run(search: SweepStudy, stop_at: int | None = None) -> list[dict]:
    """Runs what is open, a peak at x = 0.3 the goal; at `stop_at` all is dropped as by a kill."""
    tried = []
    for trial in search.open_trials():
        if trial.number == stop_at:
            break
        tried.append(trial.parameters)
        x = trial.parameters["x"]
        score = 1 - (x - 0.3) ** 2 if isinstance(x, int | float) else 0.5
        search.complete(trial, {0: score}, 1.0)
    return tried


def _found(search: SweepStudy) -> list[tuple]:
    return [(trial.number, trial.parameters, trial.mean) for trial in search.results(0.95)]


def test_a_search_that_was_killed_draws_the_same_values_as_one_that_was_not(tmp_path):
    (tmp_path / "whole").mkdir()
    with _search(tmp_path / "whole", TWO_RANGES, trials=14) as search:
        whole = _run(search)
    done = 0
    for stop_at in (0, 3, 12, None):  # the first ten are drawn at random, the others from what those found
        with _search(tmp_path, TWO_RANGES, trials=14) as search:
            assert _run(search, stop_at) == whole[done:stop_at]
        done = stop_at
    with _search(tmp_path, TWO_RANGES, trials=14) as search:
        assert [parameters for _, parameters, _ in _found(search)] == whole


def test_seeds_draw_different_values_and_a_seed_the_same(tmp_path):
    drawn = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        with _search(tmp_path / str(number), TWO_RANGES, trials=3, seed=seed) as search:
            drawn.append(_run(search))
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(0 <= one["x"] <= 1 and type(one["y"]) is int for row in drawn for one in row)


def test_of_a_grid_that_is_cut_short_more_can_be_tried_later(tmp_path):
    space = [SearchSpace("x", values=tuple(range(8)))]
    with _search(tmp_path, space, trials=3) as search:
        first = _run(search)
    with _search(tmp_path, space) as search:
        rest = _run(search)
        assert sorted(one["x"] for one in first + rest) == list(range(8))
    with _search(tmp_path, space) as search:
        assert _run(search) == []
    assert len(first) == 3


def test_a_grid_of_which_several_run_at_once_goes_on_with_those_that_no_trial_has(tmp_path):
    space = [SearchSpace("x", values=tuple(range(6)))]
    with _search(tmp_path, space) as search:
        open_trials = search.open_trials(at_once=True)
        lost, done, last = next(open_trials), next(open_trials), next(open_trials)
        assert len({one.parameters["x"] for one in (lost, done, last)}) == 3
        for one in (last, done):  # in another order than they began in; the first is lost
            search.complete(one, {0: 0.5}, 1.0)
    with _search(tmp_path, space) as search:
        rest = _run(search)
    assert sorted([done.parameters["x"], last.parameters["x"], *(one["x"] for one in rest)]) == list(range(6))


@pytest.mark.parametrize("trials", [None, 5])
def test_a_range_with_no_more_values_than_trials_is_gone_through_value_by_value(tmp_path, trials):
    with _search(tmp_path, [SearchSpace("x", low=4, high=20, step=4)], trials=trials) as search:
        values = [one["x"] for one in _run(search)]
    assert sorted(values) == [4, 8, 12, 16, 20]


def test_values_that_are_drawn_again_are_not_run_again(tmp_path):
    space = [SearchSpace("x", low=1, high=3, step=1)]
    with _search(tmp_path, space, trials=2) as search:
        tried = _run(search)
    with _search(tmp_path, space, trials=12) as search:
        tried += _run(search)
        assert len(tried) == len({one["x"] for one in tried}) <= 3
        found = _found(search)
        assert [number for number, _, _ in found] == list(range(len(tried)))
        assert [parameters for _, parameters, _ in found] == tried
        assert len(search.study.trials) == 12


def test_lists_and_sections_come_back_as_they_were_listed(tmp_path):
    values = (["a", "b"], {"name": "supcon"}, None, "1", 1, True)
    with _search(tmp_path, [SearchSpace("x", values=values[:4]), SearchSpace("y", values=(1,))]) as search:
        tried = _run(search)
    assert sorted(map(repr, (one["x"] for one in tried))) == sorted(map(repr, values[:4]))


def test_a_trial_that_was_being_recorded_as_failed_when_it_was_cut_off_has_failed(tmp_path):
    space = [SearchSpace("x", values=(1, 2))]
    with _search(tmp_path, space) as search:
        trial = next(search.open_trials())
        search._record(trial, {}, 1.0)
        trial.handle.set_user_attr("error", ["it broke", "mend it"])
    with _search(tmp_path, space) as search:
        assert _run(search) == [{"x": 3 - trial.parameters["x"]}]
        failed, complete = search.results(0.95)
    assert (failed.state, failed.error, failed.mean) == ("failed", "it broke: mend it.", None)
    assert complete.state == "complete"


def test_what_is_recorded_comes_back(tmp_path):
    with _search(tmp_path, [SearchSpace("x", values=(1, 2, 3))]) as search:
        trials = search.open_trials()
        assert search.complete(next(trials), {5: 0.5, 6: 0.7}, 2.0) == pytest.approx(0.6)
        search.prune(next(trials), {5: 0.1}, 1.0)
        search.fail(next(trials), RecipeError("a", "b"), {}, 0.5)
    with _search(tmp_path, [SearchSpace("x", values=(1, 2, 3))]) as search:
        complete, pruned, failed = search.results(0.95)
        search.check_any_complete()
    assert (complete.scores, complete.seconds, complete.state) == ({5: 0.5, 6: 0.7}, 2.0, "complete")
    assert complete.interval is None  # of two seeds
    assert (pruned.scores, pruned.mean, pruned.state) == ({5: 0.1}, 0.1, "pruned")
    assert (failed.scores, failed.error, failed.state) == ({}, "a: b.", "failed")


@pytest.mark.parametrize("name", ["a?b", "50%20 {ü}"])
def test_the_file_lies_in_its_folder_whatever_that_is_called(tmp_path, name):
    (tmp_path / name).mkdir()
    with _search(tmp_path / name, TWO_RANGES, trials=1):
        pass
    assert [path.name for path in (tmp_path / name).iterdir()] == ["study.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_study_is_refused(tmp_path):
    (tmp_path / "study.db").write_text("no database " * 100)
    with pytest.raises(UserError, match="not a readable study"), _search(tmp_path, TWO_RANGES):
        pass
    (tmp_path / "study.db").unlink()
    (tmp_path / "study.db").mkdir()
    with pytest.raises(OutputError, match="could not be written"), _search(tmp_path, TWO_RANGES):
        pass


def test_optunas_messages_are_silent_and_afterwards_as_loud_as_before(tmp_path, capfd):
    before = optuna.logging.get_verbosity()
    with _search(tmp_path, TWO_RANGES, trials=2) as search:
        _run(search)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
