"""Long texts cut into windows that an encoder can read, and the windows' vectors pooled into one for each text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

WindowsName = Literal["max", "mean", "learned"]


class Windows(NamedTuple):
    """The windows of a batch of texts, those of the first text first.

    Args:
        input_ids: Int (N, W), W the longest window's length.
        attention_mask: 1 at tokens and 0 at padding, which is on the right, (N, W).
        counts: Windows of each text, at least 1, (B,), together N.
    """

    input_ids: Tensor
    attention_mask: Tensor
    counts: Tensor


def window_counts(lengths: Tensor, inside: int, stride: int) -> Tensor:
    """Returns how many windows texts are cut into, at least 1.

    Args:
        lengths: Tokens of each text without special tokens, of any shape.
        inside: Tokens of a text that a window has room for.
        stride: Tokens that neighbours share, at least; less than `inside`.
    """
    step = inside - stride
    return 1 + ((lengths - inside).clamp_min(0) + step - 1) // step


def cut_windows(
    input_ids: Tensor,
    mask: Tensor,
    *,
    length: int,
    stride: int,
    prefix: Sequence[int] = (),
    suffix: Sequence[int] = (),
    padding: int = 0,
) -> Windows:
    """Cuts tokenised texts into windows, each with special tokens of its own.

    The windows of a text are as few as can share `stride` tokens with their neighbours. They lie evenly: the first
    begins where the text does, the last ends where it does, and all of a text that has several are full. A text that
    fits is one window, the row as it was without its padding.

    Args:
        input_ids: Rows as a tokeniser makes them, the special tokens included, int (B, L).
        mask: Where tokens are, bool (B, L); the padding of a row is on one side.
        length: Tokens of a window, the special tokens included.
        stride: Tokens of the text that two neighbours share, at least.
        prefix: What stands in front of every text, and of every window.
        suffix: What stands behind.
        padding: The id that fills up windows.
    """
    device, first, last = input_ids.device, len(prefix), len(suffix)
    inside = length - first - last
    lengths = (mask.sum(1) - first - last).clamp_min(0)  # (B,)
    counts = window_counts(lengths, inside, stride)
    owners = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)  # (N,)
    numbers = torch.arange(len(owners), device=device) - (counts.cumsum(0) - counts)[owners]
    beyond = (lengths - inside).clamp_min(0)[owners]
    starts = numbers * beyond // (counts[owners] - 1).clamp_min(1)
    sizes = lengths[owners].clamp_max(inside)[:, None]  # (N, 1)

    columns = torch.arange(first + int(sizes.max()) + last, device=device)
    places = columns - first  # in the window's part of the text
    sources = (mask.long().argmax(1)[owners] + first + starts)[:, None] + places
    tokens = input_ids[owners[:, None], sources.clamp(0, input_ids.shape[1] - 1)]
    windows = torch.where((places >= 0) & (places < sizes), tokens, padding)
    windows[:, :first] = input_ids.new_tensor(prefix)
    windows.scatter_(
        1,
        first + sizes + torch.arange(last, device=device),
        input_ids.new_tensor(suffix).expand(len(owners), last),
    )
    return Windows(windows, (columns < first + sizes + last).long(), counts)


class WindowPooling(nn.Module):
    """The vectors of a text's windows as one.

    `max` takes the largest value of each dimension, `mean` the mean over windows. `learned` is a mean weighted by
    softmax(q·v / √d) over the windows of a text, where the query q is learned and starts at 0, as the mean.

    Args:
        windows: `max`, `mean` or `learned`.
        size: d.
    """

    def __init__(self, windows: WindowsName, size: int) -> None:
        super().__init__()
        self.windows = windows
        self.query = nn.Parameter(torch.zeros(size)) if windows == "learned" else None

    def forward(self, vectors: Tensor, counts: Tensor) -> Tensor:
        """Pools.

        Args:
            vectors: Of all windows, those of the first text first, (N, d).
            counts: Windows of each text, at least 1, (B,), together N.

        Returns:
            (B, d).
        """
        dtype = vectors.dtype
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float() if dtype in (torch.float16, torch.bfloat16) else vectors
            return self._pooled(vectors, counts).to(dtype)

    def _pooled(self, vectors: Tensor, counts: Tensor) -> Tensor:
        present = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]  # (B, n)
        places = present.flatten().nonzero().squeeze(1)
        padded = vectors.new_zeros(present.numel(), vectors.shape[1]).index_copy(0, places, vectors)
        padded = padded.view(*present.shape, -1)  # (B, n, d)
        if self.windows == "max":
            return padded.masked_fill(~present[:, :, None], -torch.inf).amax(1)
        if self.query is None:
            return padded.sum(1) / counts[:, None]
        query = self.query.to(vectors.dtype)
        scores = padded @ query / math.sqrt(len(query))
        weights = scores.masked_fill(~present, -torch.inf).softmax(1)
        return torch.einsum("bn,bnd->bd", weights, padded)
