from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tellapart.data.examples import TextSplit
from tellapart.training.scale import TargetScale

SPLIT = TextSplit(["a", "b", "c", "d"], labels=[100.0, 104.0, 108.0, 112.0])


def test_numbers_have_mean_0_and_deviation_1_and_come_back():
    scale = TargetScale.of(SPLIT)
    standardised = np.array(scale.standardised(SPLIT).labels)
    assert (standardised.mean(), standardised.std()) == pytest.approx((0, 1))
    assert scale.restored(standardised) == pytest.approx(np.array(SPLIT.labels))


def test_a_layer_gives_numbers_as_they_were_given_once_the_scale_is_folded_in():
    scale, linear, vectors = TargetScale.of(SPLIT), nn.Linear(3, 1), torch.randn(5, 3)
    before = linear(vectors).detach().numpy()
    scale.fold_into(linear)
    assert linear(vectors).detach().numpy() == pytest.approx(scale.restored(before), rel=1e-5)


def test_numbers_that_do_not_vary_are_not_divided_by_0():
    flat = TextSplit(["a", "b"], labels=[3.0, 3.0])
    assert TargetScale.of(flat).standardised(flat).labels == [0.0, 0.0]
