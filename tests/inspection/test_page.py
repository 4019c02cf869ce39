from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from tellapart.inspection.page import (
    Bar,
    abbreviate,
    inline_json,
    markdown_list,
    markdown_table,
    shorten,
    write_page,
)


def test_texts_lose_their_end_and_names_their_middle():
    assert shorten("one\n two three", 8) == "one two…"
    assert shorten("short", 5) == "short"
    name = abbreviate("transfer_not_received_by_recipient", 16)
    assert len(name) == 16
    assert name == "transfe…ecipient"


def _page(path, **values):
    content = {"title": "t", "subtitle": "s", "parts": [], "command": "c"}
    write_page(path, "reproduction/templates/reproduction.html", **content | values)
    return path.read_text(encoding="utf-8")


def test_texts_are_escaped_and_the_policy_forbids_scripts_and_loading(tmp_path):
    page = _page(tmp_path / "page.html", title="<b>", command="a & 'b' \"c\"")
    assert "<title>&lt;b&gt;</title>" in page
    assert "a &amp; &#39;b&#39; &#34;c&#34;" in page
    assert """content="default-src 'none'; style-src 'unsafe-inline'">""" in page


@settings(derandomize=True)
@given(
    st.text() | st.lists(st.sampled_from(["</script>", "<!--", "]]>", "&lt;", "\u2028", "\\"])).map("".join)
)
def test_no_text_can_end_the_data_of_a_page(text):
    written = inline_json({text: [text]})
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {text: [text]}


def test_a_page_allows_its_own_script_by_its_hash_and_no_other(tmp_path):
    write_page(
        tmp_path / "page.html",
        "reproduction/templates/reproduction.html",
        script="inspection/templates/workbench.js",
        data={"text": "</script>"},
        **{"title": "t", "subtitle": "s", "parts": [], "command": "c"},
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    [inline] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(inline.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_a_cell_with_a_bar_shows_its_text_and_its_share(tmp_path):
    part = {"heading": "h", "sentences": (), "points": (), "rows": [["a", "b"], ["<i>", Bar("7.0", 0.5)]]}
    page = _page(tmp_path / "page.html", parts=[part])
    assert '<td>&lt;i&gt;</td><td class="bar" style="--share:50.0%">7.0</td>' in page


def test_a_missing_value_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(UndefinedError):
        write_page(tmp_path / "page.html", "reproduction/templates/reproduction.html", title="t")
    assert not list(tmp_path.iterdir())


def test_characters_that_utf8_cannot_encode_become_question_marks(tmp_path):
    assert "a?b" in _page(tmp_path / "page.html", command="a\ud800b")


def test_markdown_escapes_bars_and_aligns_numbers_right():
    assert markdown_table([["a|b", "n"], ["x", "1"]]) == "| a\\|b | n |\n| --- | ---: |\n| x | 1 |"
    assert markdown_list(["one", "two"]) == "- one\n- two"
