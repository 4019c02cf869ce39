from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.pretraining.sequences import SequenceMaker


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 15), st.sampled_from(["lines", "documents"]))
def test_texts_are_cut_as_a_loop_cuts_them(counts, room, sequences):
    parts, lengths = SequenceMaker(None, room, sequences)._cut(np.array(counts, dtype=np.int64))
    expected = []
    for count in counts:
        number = -(-count // room)
        if sequences == "documents":
            expected.append([room] * (count // room) + [count % room] * (count % room > 0))
        else:
            expected.append([count // number + (place < count % number) for place in range(number)])
    assert parts.tolist() == [len(one) for one in expected]
    assert lengths.tolist() == [length for one in expected for length in one]


class Characters:
    """A tokeniser whose tokens are characters."""

    def __call__(self, texts, **_):
        return {"input_ids": [[ord(character) for character in text] for text in texts]}


@pytest.mark.parametrize("room", [1, 3, 7, 100])
def test_a_document_is_packed_over_batches(monkeypatch, room):
    from tellapart.pretraining import sequences as module
    from tellapart.pretraining.texts import TextPart

    monkeypatch.setattr(module, "_BATCH_TEXTS", 2)
    documents = [["abc", "d", "", "efghij", "k"], [], ["xy"], ["", ""]]
    monkeypatch.setattr(TextPart, "documents", lambda self: iter(documents))
    blocks = list(
        SequenceMaker(Characters(), room, "documents").blocks(TextPart(spans=((None, 0, None),) * 4))
    )
    found = []
    for block in blocks:
        for end, length in zip(np.cumsum(block.lengths), block.lengths, strict=True):
            found.append("".join(map(chr, block.ids[end - length : end])))
    texts = ["".join(lines) for lines in documents]
    pieces = [text[start : start + room] for text in texts for start in range(0, len(text), room)]
    assert found == pieces
    counts = [sum(getattr(block, name) for block in blocks) for name in ("texts", "empty", "cut")]
    assert counts == [2, 2, (room < 11) + (room < 2)]
