from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tellapart.encoders.cutting import WindowPooling, cut_windows, window_counts


def _naive_windows(text: list[int], room: int, stride: int) -> list[list[int]]:
    """The fewest full windows over a text that share `stride` tokens at least, as even as whole numbers allow."""
    if len(text) <= room:
        return [text]
    count = 2
    while room + (count - 1) * (room - stride) < len(text):
        count += 1
    starts = [number * (len(text) - room) // (count - 1) for number in range(count)]
    return [text[start : start + room] for start in starts]


def _padded(rows: list[list[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width).bool()
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, place], mask[number, place] = torch.tensor(row, dtype=torch.long), True
    return ids, mask


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    room=st.integers(1, 12),
    data=st.data(),
    first=st.integers(0, 2),
    last=st.integers(0, 2),
    left=st.booleans(),
)
def test_the_windows_are_those_of_a_loop_over_texts(lengths, room, data, first, last, left):
    stride = data.draw(st.integers(0, room - 1))
    prefix, suffix = [901, 902][:first], [903, 904][:last]
    texts = [[100 * number + place + 1 for place in range(length)] for number, length in enumerate(lengths)]
    ids, mask = _padded([[*prefix, *text, *suffix] for text in texts], left)
    if not ids.shape[1]:
        return  # no tokeniser makes a batch without a token
    cut = cut_windows(
        ids,
        mask,
        length=room + first + last,
        stride=stride,
        prefix=prefix,
        suffix=suffix,
        padding=7,
    )
    expected = [_naive_windows(text, room, stride) for text in texts]
    assert cut.counts.tolist() == [len(windows) for windows in expected]
    flat = [[*prefix, *window, *suffix] for windows in expected for window in windows]
    assert cut.input_ids.shape == cut.attention_mask.shape == (len(flat), max(map(len, flat)))
    for row, row_mask, window in zip(cut.input_ids, cut.attention_mask, flat, strict=True):
        rest = len(row) - len(window)
        assert row.tolist() == window + [7] * rest
        assert row_mask.tolist() == [1] * len(window) + [0] * rest


@given(length=st.integers(0, 300), room=st.integers(1, 40), data=st.data())
def test_all_of_a_text_is_read_and_neighbours_share_what_they_must(length, room, data):
    stride = data.draw(st.integers(0, room - 1))
    text = torch.arange(1, length + 2)[None]  # one token more, for the suffix
    cut = cut_windows(text, text > 0, length=room + 1, stride=stride, suffix=[999])
    rows = [
        [token for token in row[mask.bool()].tolist() if token != 999]
        for row, mask in zip(cut.input_ids, cut.attention_mask, strict=True)
    ]
    assert set().union(*rows) == set(range(1, length + 1))
    assert all(len(set(one) & set(other)) >= stride for one, other in itertools.pairwise(rows))
    assert len(rows) == int(window_counts(torch.tensor(length), room, stride))


def test_a_batch_of_short_texts_is_the_batch_itself():
    ids = torch.tensor([[1, 5, 6, 2], [1, 8, 2, 0]])
    cut = cut_windows(ids, ids > 0, length=128, stride=16, prefix=[1], suffix=[2])
    assert torch.equal(cut.input_ids, ids)
    assert torch.equal(cut.attention_mask, (ids > 0).long())
    assert cut.counts.tolist() == [1, 1]


COUNTS = torch.tensor([1, 3, 2])


def _vectors() -> torch.Tensor:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("windows", ["max", "mean", "learned"])
def test_pooling_is_that_of_a_loop_over_texts(windows):
    vectors, pooling = _vectors(), WindowPooling(windows, 4).double()
    if windows == "learned":
        with torch.no_grad():
            pooling.query.copy_(torch.tensor([2.0, -1.0, 0.5, 3.0]))
    expected, start = [], 0
    for count in COUNTS.tolist():
        own = [vectors[start + number] for number in range(count)]
        start += count
        weights = [1 / count] * count
        if windows == "learned":
            query = pooling.query.detach()
            scores = [math.exp(float(query @ one) / 2) for one in own]  # √4
            weights = [score / sum(scores) for score in scores]
        if windows == "max":
            expected.append([max(float(one[place]) for one in own) for place in range(4)])
        else:
            expected.append(sum(w * one for w, one in zip(weights, own, strict=True)).tolist())
    torch.testing.assert_close(
        pooling(vectors, COUNTS), torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=1e-12
    )


@pytest.mark.parametrize("windows", ["max", "mean", "learned"])
def test_the_gradient_is_right(windows):
    pooling = WindowPooling(windows, 4).double()
    parameters = [torch.randn_like(parameter).requires_grad_() for parameter in pooling.parameters()]

    def pooled(vectors: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(["query"], values, strict=False))
        return torch.func.functional_call(pooling, named, (vectors, COUNTS))

    assert torch.autograd.gradcheck(pooled, (_vectors().requires_grad_(), *parameters))


def test_attention_starts_as_the_mean_and_has_a_gradient_there():
    vectors, pooling = _vectors(), WindowPooling("learned", 4).double()
    torch.testing.assert_close(pooling(vectors, COUNTS), WindowPooling("mean", 4)(vectors, COUNTS))
    pooling(vectors, COUNTS)[1:].square().sum().backward()
    assert pooling.query.grad.abs().min() > 0


def test_bf16_vectors_are_pooled_in_float32():
    vectors = _vectors().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        for windows in ("max", "mean", "learned"):
            pooled = WindowPooling(windows, 4)(vectors, COUNTS)
            assert pooled.dtype == torch.bfloat16
            exact = WindowPooling(windows, 4)(vectors.float(), COUNTS)
            assert torch.equal(pooled, exact.bfloat16())


class _Names(TorchDispatchMode):
    """Collects the names of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.found.append(function._schema.name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("windows", ["max", "mean", "learned"])
def test_a_gpu_is_waited_for_once_to_cut_and_once_to_pool(windows):
    ids, mask = _padded([[1, *range(10, 10 + length), 2] for length in (3, 17, 0, 8)], False)
    with _Names() as cutting:
        cut = cut_windows(ids, mask, length=7, stride=2, prefix=[1], suffix=[2])
    # Beside the sizes of the windows, which are read as a list.
    waiting = ("aten::_local_scalar_dense", "aten::nonzero")
    assert not [name for name in cutting.found if name in waiting]
    vectors = torch.randn(len(cut.input_ids), 4)
    with _Names() as pooling:
        WindowPooling(windows, 4)(vectors, cut.counts)
    assert [name for name in pooling.found if name in waiting] == ["aten::_local_scalar_dense"]
