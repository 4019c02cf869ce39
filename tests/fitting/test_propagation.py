from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.fitting.propagation import propagated


def naive(labelled, labels, unlabelled, predicted, neighbours):
    """The same by loops over dense matrices."""
    vectors = [vector / np.linalg.norm(vector) for vector in (*labelled, *unlabelled)]
    count = len(vectors)
    weights = np.zeros((count, count))
    for row in range(count):
        cosines = [float(vectors[row] @ other) for other in vectors]
        others = sorted((other for other in range(count) if other != row), key=lambda other: -cosines[other])
        for other in others[:neighbours]:
            weights[row, other] = weights[other, row] = np.exp((cosines[other] - 1) / 0.1)
    start = np.array([*labels, *predicted])
    spread = start.copy()
    for _ in range(50):
        spread = np.array(
            [
                0.9 * sum(weights[row, other] * spread[other] for other in range(count)) / weights[row].sum()
                + 0.1 * start[row]
                for row in range(count)
            ]
        )
        spread[: len(labels)] = labels
    return spread[len(labels) :]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 6), st.integers(1, 4))
def test_it_is_the_equation_and_keeps_probabilities(seed, rows, others, neighbours):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows + others, 3))
    labels = np.eye(3)[random.integers(0, 3, rows)]
    predicted = random.dirichlet(np.ones(3), others)
    given_arguments = (vectors[:rows], labels, vectors[rows:], predicted, min(neighbours, rows + others - 1))
    spread = propagated(*given_arguments)
    np.testing.assert_allclose(spread, naive(*given_arguments), atol=1e-9)
    np.testing.assert_allclose(spread.sum(axis=1), 1)
    assert spread.min() >= 0


def test_an_unsure_text_takes_the_label_of_the_texts_around_it():
    angles = np.array([0.0, 0.1, 0.2, 1.5, 1.6])  # three texts beside each other, two far from them
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    predicted = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]])
    spread = propagated(vectors[:1], np.array([[1.0, 0.0]]), vectors[1:], predicted, neighbours=2)
    assert spread[1].argmax() == 0
    assert (spread[2:].argmax(axis=1) == 1).all()


def test_several_labels_spread_one_by_one():
    vectors = np.array([[1.0, 0.0], [1.0, 0.05], [1.0, 0.1]])
    predicted = np.array([[0.5, 0.2], [0.5, 0.3]])
    both = propagated(vectors[:1], np.array([[1.0, 1.0]]), vectors[1:], predicted, neighbours=2)
    for label in range(2):
        alone = propagated(
            vectors[:1], np.ones((1, 1)), vectors[1:], predicted[:, label : label + 1], neighbours=2
        )
        assert both[:, label] == pytest.approx(alone[:, 0])
        assert (both[:, label] > predicted[:, label]).all()
