from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tellapart.cli.layout import _wrapped, show_table

LONG = "card_payment_wrong_exchange_rate"
METHODS = [
    ["method", "accuracy (%)", "95 % interval", "vs cross-entropy", "won / tied / lost", "seconds"],
    ["cross-entropy", "84.74", "82.10 to 86.20", "", "", "19.2"],
    ["label-distance-static", "86.74", "-12.10 to 89.20", "+1.20", "2 / 0 / 1", "1119.2"],
]
PAIRS = [["classes", "cross-entropy", "supcon"], [f"{LONG} ↔ {LONG}s_for_cash", "12.0", "10.0 (-2.0)"]]


@pytest.fixture
def shown(capsys, monkeypatch):
    """Prints a table at a width and returns its lines."""

    def lines(rows, columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        capsys.readouterr()
        show_table(rows)
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("rows", [METHODS, PAIRS])
def test_a_table_fits_its_width_and_no_number_is_cut(shown, rows, columns):
    lines = shown(rows, columns)
    assert max(map(cell_len, lines)) <= columns
    numbers = re.findall(r"[-+]?\d+(?:\.\d+)?", " ".join(" ".join(row[1:]) for row in rows[1:]))
    printed = re.findall(r"[-+]?\d+(?:\.\d+)?", " ".join(lines))
    assert all(printed.count(number) >= numbers.count(number) for number in numbers)


def test_numbers_are_aligned_and_a_result_of_several_numbers_stays_on_its_line(shown):
    lines = shown(METHODS, 80)
    assert any(line.endswith("  19.2") for line in lines)
    assert any("2 / 0 / 1" in line for line in lines)


def test_a_long_name_keeps_its_beginning_and_its_end(shown):
    (line,) = [line for line in shown(PAIRS, 40) if "…" in line][:1]
    assert re.match(r"card_\w*…\w*rate ", line)


def test_a_table_whose_numbers_need_more_room_is_a_list(shown):
    lines = [line for line in shown(METHODS, 40) if line]
    assert lines[:2] == ["cross-entropy", "  accuracy (%): 84.74"]
    assert "  vs cross-entropy: +1.20" in lines
    assert not any(line.strip() == "vs cross-entropy: " for line in lines)


def test_a_pipe_has_room_for_wide_tables(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    show_table(PAIRS)
    assert PAIRS[1][0] in capsys.readouterr().out


@settings(derandomize=True, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=60), st.integers(4, 40)
)
def test_wrapped_texts_fit_and_lose_only_the_middle_of_long_words(text, width):
    lines = _wrapped(text, width).split("\n")
    assert max(map(cell_len, lines)) <= width
    if all(cell_len(word) <= width for word in text.split()):
        assert "".join("".join(lines).split()) == "".join(text.split())
