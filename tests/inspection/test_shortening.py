from __future__ import annotations

from tellapart.inspection.shortening import abbreviate, shorten


def test_texts_lose_their_end_and_names_their_middle():
    assert shorten("one\n two three", 8) == "one two…"
    assert shorten("short", 5) == "short"
    name = abbreviate("transfer_not_received_by_recipient", 16)
    assert len(name) == 16
    assert name == "transfe…ecipient"
