from __future__ import annotations

import numpy as np
import pytest

from tellapart.pretraining.arrangement import StepSize, WindowedArrangement


class Lengths:
    """Any number of sequences, whose lengths follow from their numbers."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.asked = 0
        self.mean_width = float(self.widths(np.arange(min(size, 5000))).mean())

    def __len__(self) -> int:
        return self._size

    def widths(self, rows: np.ndarray) -> np.ndarray:
        self.asked = len(rows)
        return 3 + rows * 7919 % 60


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 200}])
@pytest.mark.parametrize("size", [4, 5, 130, 1033])
def test_an_epoch_has_each_sequence_once_over_its_windows(size, options):
    arrangement = WindowedArrangement(Lengths(size), StepSize(shares=4, window=3, **options))
    for epoch in (0, 1):
        windows = [arrangement.steps(epoch, window) for window in range(arrangement.windows)]
        steps = [step for window in windows for step in window]
        rows = np.concatenate(steps)
        assert len(np.unique(rows)) == len(rows)
        assert len(rows) > size - 4  # a rest with fewer sequences than batches is left out
        assert min(map(len, steps)) >= 4
        if epoch == 0 and len(windows) <= 16:
            assert arrangement.epoch_steps == len(steps)


def test_only_the_lengths_of_one_window_are_asked_for():
    sequences = Lengths(10**12)
    by_size = WindowedArrangement(sequences, StepSize(batch_size=8), seed=2)
    steps = by_size.steps(3, by_size.windows - 2)
    assert sequences.asked == 8 * 64
    assert {len(step) for step in steps} == {8}
    assert np.concatenate(steps).max() > 10**11
    by_tokens = WindowedArrangement(sequences, StepSize(batch_tokens=512), seed=2)
    steps = by_tokens.steps(0, 5)
    assert sequences.asked == by_tokens.rows_per_window < 2000
    assert max(sequences.widths(step).max() * len(step) for step in steps) <= 512


def test_steps_of_long_epochs_are_estimated_within_a_few_percent():
    arrangement = WindowedArrangement(Lengths(30_000), StepSize(batch_tokens=512, window=8))
    counted = sum(len(arrangement.steps(0, window)) for window in range(arrangement.windows))
    assert arrangement.windows > 200
    assert abs(arrangement.epoch_steps / counted - 1) < 0.02


def test_a_small_step_is_anywhere_in_the_order_and_of_any_length():
    arrangement = WindowedArrangement(Lengths(8 * 40 + 3), StepSize(batch_size=8))
    places, widths = [], []
    for epoch in range(120):
        steps = arrangement.steps(epoch, 0)
        [(place, small)] = [(place, step) for place, step in enumerate(steps) if len(step) == 3]
        places.append(place)
        widths.append(arrangement._sequences.widths(small).mean())
    assert 15 < np.mean(places) < 25
    assert len(set(places)) > 30
    assert 27 < np.mean(widths) < 38  # on average 32.5
