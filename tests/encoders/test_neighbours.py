from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tellapart.encoders import neighbours
from tellapart.encoders.neighbours import nearest_neighbours


def naive(vectors: np.ndarray) -> np.ndarray:
    """Cosines of all pairs after subtracting the mean; -1 at the row itself."""
    centred = vectors - vectors.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


@pytest.mark.parametrize("size", [1, 3, 100])
@given(arrays(np.float32, st.tuples(st.integers(2, 12), st.just(4)), elements=st.integers(-9, 9)))
@settings(derandomize=True, max_examples=20, deadline=None)
def test_blocks_of_any_size_find_the_neighbours_of_a_full_matrix(size, vectors):
    blocks = neighbours._QUERIES, neighbours._OTHERS
    neighbours._QUERIES, neighbours._OTHERS = size, size + 1
    try:
        found = nearest_neighbours(vectors, 3)
    finally:
        neighbours._QUERIES, neighbours._OTHERS = blocks
    cosines = naive(vectors)
    count = min(3, len(vectors) - 1)
    assert found.rows.shape == (len(vectors), count)
    best = -np.sort(-cosines, axis=1)[:, :count]
    np.testing.assert_allclose(found.cosines, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosines, found.rows, axis=1), best, atol=1e-5)
    assert not (found.rows == np.arange(len(vectors))[:, None]).any()


def test_only_the_given_rows_are_searched_and_found():
    vectors = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32)
    rows = np.arange(0, 20, 3)
    some = nearest_neighbours(vectors, 2, rows=rows)
    alone = nearest_neighbours(vectors[rows], 2)
    np.testing.assert_array_equal(some.rows, alone.rows)


def test_a_single_row_has_no_neighbours():
    assert nearest_neighbours(np.ones((1, 4), dtype=np.float32), 5).rows.shape == (1, 0)


def test_progress_counts_every_row_once():
    seen: list[int] = []
    nearest_neighbours(np.eye(7, dtype=np.float32), 2, progress=seen.append)
    assert sum(seen) == 7


def test_an_index_finds_nearly_all_neighbours_of_very_many_rows(monkeypatch):
    pytest.importorskip("faiss")
    random = np.random.default_rng(0)
    centres = random.standard_normal((40, 16)) * 3
    vectors = (centres[random.integers(0, 40, 3000)] + random.standard_normal((3000, 16))).astype(np.float32)
    rows = np.arange(0, 3000, 2)
    exact = nearest_neighbours(vectors, 10, rows=rows)
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 100)
    seen: list[int] = []
    found = nearest_neighbours(vectors, 10, rows=rows, progress=seen.append)
    again = nearest_neighbours(vectors, 10, rows=rows)
    hits = [len(set(a) & set(b)) for a, b in zip(exact.rows.tolist(), found.rows.tolist(), strict=True)]
    assert np.mean(hits) > 9.5
    assert sum(seen) == 1500
    assert not (found.rows == np.arange(1500)[:, None]).any()
    assert (np.diff(found.cosines, axis=1) <= 0).all()
    np.testing.assert_array_equal(found.rows, again.rows)
    np.testing.assert_allclose(found.cosines[:, 0], exact.cosines[:, 0], atol=0.01)


def test_rows_for_which_the_index_finds_too_few_are_compared_with_all(monkeypatch):
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).standard_normal((120, 4)).astype(np.float32)
    exact = nearest_neighbours(vectors, 10)
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 100)
    monkeypatch.setattr(neighbours, "_PROBES", 1)
    found = nearest_neighbours(vectors, 10)
    assert (found.rows >= 0).all()
    few = [len(set(a) & set(b)) for a, b in zip(exact.rows.tolist(), found.rows.tolist(), strict=True)]
    assert np.isfinite(found.cosines).all()
    assert 10 in few


def test_vectors_are_copied_to_a_gpu_once(monkeypatch):
    vectors = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    monkeypatch.setattr(neighbours, "_QUERIES", 4)
    monkeypatch.setattr(neighbours, "_OTHERS", 7)
    expected = nearest_neighbours(vectors, 3)
    copied: list[int] = []
    plain = torch.nn.functional.normalize

    def normalize(block: torch.Tensor) -> torch.Tensor:
        copied.append(len(block))
        return plain(block)

    monkeypatch.setattr(torch.nn.functional, "normalize", normalize)
    monkeypatch.setattr(neighbours, "default_device", lambda: "cpu:0")  # a device of another name
    found = nearest_neighbours(vectors, 3)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.cosines, expected.cosines)
    assert sum(copied) == 2 * len(vectors)  # as rows that search, and as rows to be found
