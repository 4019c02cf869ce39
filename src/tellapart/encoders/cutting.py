"""Splits long texts into overlapping windows and pools the windows' vectors per text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

WindowsName = Literal["max", "mean", "learned"]


class Windows(NamedTuple):
    """The windows of a batch of texts, in the order of the texts.

    Args:
        input_ids: Int (N, W), W the longest window's length.
        attention_mask: 1 at tokens and 0 at padding on the right, (N, W).
        counts: Windows per text, at least 1, (B,), sum N.
    """

    input_ids: Tensor
    attention_mask: Tensor
    counts: Tensor


def window_counts(lengths: Tensor, inside: int, stride: int) -> Tensor:
    """Returns the number of windows per text, at least 1.

    Args:
        lengths: Tokens of each text without special tokens, of any shape.
        inside: Text tokens per window.
        stride: Minimum overlap of neighbouring windows in tokens; less than `inside`.
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
    """Splits tokenised texts into windows, each with its own special tokens.

    A text gets the smallest number of windows that overlap by at least `stride` tokens. They are evenly spaced: the
    first starts at the start of the text, the last ends at its end, and all are full. A text that fits into one
    window is the same row without its padding.

    Args:
        input_ids: Tokenised rows with special tokens, int (B, L).
        mask: True at tokens, bool (B, L); padding on one side.
        length: Tokens per window, special tokens included.
        stride: Minimum overlap of neighbouring windows in text tokens.
        prefix: Special tokens before every text and every window.
        suffix: Special tokens after it.
        padding: The padding id.
    """
    device, first, last = input_ids.device, len(prefix), len(suffix)
    inside = length - first - last
    lengths = (mask.sum(1) - first - last).clamp_min(0)  # (B,)
    counts = window_counts(lengths, inside, stride)
    # Read together: a GPU is waited for once.
    total, longest = torch.stack([counts.sum(), lengths.amax().clamp_max(inside)]).tolist()
    owners = torch.repeat_interleave(
        torch.arange(len(counts), device=device), counts, output_size=total
    )  # (N,)
    numbers = torch.arange(total, device=device) - (counts.cumsum(0) - counts)[owners]
    beyond = (lengths - inside).clamp_min(0)[owners]
    starts = numbers * beyond // (counts[owners] - 1).clamp_min(1)
    sizes = lengths[owners].clamp_max(inside)[:, None]  # (N, 1)

    columns = torch.arange(first + longest + last, device=device)
    places = columns - first  # in the window's part of the text
    sources = (mask.long().argmax(1)[owners] + first + starts)[:, None] + places
    tokens = input_ids[owners[:, None], sources.clamp(0, input_ids.shape[1] - 1)]
    windows = torch.where((places >= 0) & (places < sizes), tokens, padding)
    for place, token in enumerate(prefix):
        windows[:, place] = token
    for place, token in enumerate(suffix):
        windows.scatter_(1, first + sizes + place, token)
    return Windows(windows, (columns < first + sizes + last).long(), counts)


class WindowPooling(nn.Module):
    """Pools the vectors of a text's windows.

    `max` takes the maximum per dimension, `mean` the mean over windows. `learned` is a mean weighted by
    softmax(q·v / √d) over the windows of a text, where the query q is trained and initialised to 0 (the mean).

    Args:
        windows: `max`, `mean` or `learned`.
        size: d.
    """

    def __init__(self, windows: WindowsName, size: int) -> None:
        super().__init__()
        self.windows = windows
        self.query = nn.Parameter(torch.zeros(size)) if windows == "learned" else None

    def forward(self, vectors: Tensor, counts: Tensor) -> Tensor:
        """Pools the vectors of each text.

        Args:
            vectors: Of all windows, in the order of the texts, (N, d).
            counts: Windows per text, at least 1, (B,), sum N.

        Returns:
            (B, d).
        """
        dtype = vectors.dtype
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float() if dtype in (torch.float16, torch.bfloat16) else vectors
            return self._pooled(vectors, counts).to(dtype)

    def _pooled(self, vectors: Tensor, counts: Tensor) -> Tensor:
        width = int(counts.max())
        present = torch.arange(width, device=counts.device) < counts[:, None]  # (B, n)
        # Of window j of text i in the padded rows, i · n + j, from its number k and the windows before the text.
        gaps = width * torch.arange(len(counts), device=counts.device) - (counts.cumsum(0) - counts)
        places = torch.arange(len(vectors), device=counts.device)
        places = places + torch.repeat_interleave(gaps, counts, output_size=len(vectors))
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
