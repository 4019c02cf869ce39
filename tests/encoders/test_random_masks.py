from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.encoders.random_masks import LEVELS, random_mask

LARGE = torch.Size((3, 333_333))
"""More elements than are drawn at a time, and not a multiple of four."""


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, LEVELS - 1), st.sampled_from((1, -1))
)
def test_a_mask_holds_two_values_and_its_shape(shape, dropped, kept):
    mask = random_mask(torch.Size(shape), dropped, kept)
    assert mask.shape == torch.Size(shape)
    assert mask.dtype == torch.int16
    assert set(mask.unique().tolist()) <= {0, kept}


@pytest.mark.parametrize("dropped", [1, LEVELS // 10, LEVELS // 2, LEVELS - 1])
@pytest.mark.parametrize("kept", [1, -1])
def test_the_rate_of_a_mask_is_exact(dropped, kept):
    torch.manual_seed(0)
    mask = random_mask(LARGE, dropped, kept)
    rate = dropped / LEVELS
    deviation = (rate * (1 - rate) / mask.numel()) ** 0.5
    assert abs((mask == 0).double().mean() - rate) < 5 * deviation


def test_masks_pieces_and_elements_are_independent():
    torch.manual_seed(0)
    # A row is drawn at a time.
    mask = random_mask(torch.Size((8, 4 * 65_536)), LEVELS // 2, 1).double()
    other = random_mask(torch.Size((8, 4 * 65_536)), LEVELS // 2, 1).double()
    pairs = ((mask[:-1], mask[1:]), (mask[:, :-1], mask[:, 1:]), (mask[:, :-4], mask[:, 4:]), (mask, other))
    for one, two in pairs:
        correlation = float(((one - 0.5) * (two - 0.5)).mean() * 4)
        assert abs(correlation) < 5 / one.numel() ** 0.5


@pytest.mark.parametrize("shape", [torch.Size((101,)), LARGE])
def test_masks_of_all_sizes_are_reproducible_from_seeds_and_restored_states(shape):
    torch.manual_seed(3)
    first, state = random_mask(shape, LEVELS // 2, 1), torch.get_rng_state()
    second = random_mask(shape, LEVELS // 2, 1)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(random_mask(shape, LEVELS // 2, 1), second)
    torch.manual_seed(3)
    assert torch.equal(random_mask(shape, LEVELS // 2, -1), -first)


def test_numpys_global_generator_is_not_used():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    random_mask(LARGE, LEVELS // 10, 1)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
