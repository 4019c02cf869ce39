from __future__ import annotations

import json
from html.parser import HTMLParser

from matplotlib.image import imread

from tellapart.data.examples import TextSplit
from tellapart.inspection import word_page
from tellapart.inspection.word_effects import WordEffects
from tellapart.inspection.word_figure import word_effects_figure
from tellapart.inspection.word_files import write_explanation
from tellapart.inspection.word_page import marked_texts
from tellapart.inspection.word_pieces import words_of


def _effects(split: TextSplit, values: list[float], **changes) -> WordEffects:
    columns = [column[0] for column in split.columns]
    places = words_of(columns)
    values = (values * len(places))[: len(places)]
    return WordEffects(
        split.texts[0],
        None if split.text_pairs is None else split.text_pairs[0],
        "<i>lost</i>",
        "stolen",
        "gradients",
        1.5,
        0.5,
        tuple(columns[place.column][place.start : place.end] for place in places),
        tuple(places),
        tuple(values),
        **changes,
    )


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text, self.classes = [], "", []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.classes.append(dict(attributes).get("class"))

    def handle_data(self, data):
        self.text += data


def test_pieces_are_the_text_as_it_is_written():
    split = TextSplit(["  My <b>card</b>,\n gone "], ["really?"])
    first, second = marked_texts(_effects(split, [1.0, -2.0, 0.0]))
    assert "".join(piece.text for piece in first) == split.texts[0]
    assert "".join(piece.text for piece in second) == split.text_pairs[0]
    assert max(piece.strength for piece in first) == 1
    assert first[0].effect is None


def test_texts_never_become_markup_and_signs_are_characters_and_lines(tmp_path):
    one = _effects(TextSplit(["<script>alert(1)</script> card"]), [1.0, -2.0])
    write_explanation(tmp_path / "page.html", [one], "runs/<b>x</b>")
    written = (tmp_path / "page.html").read_text()
    page = _Page()
    page.feed(written)
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert "<i>lost</i>" in page.text
    assert {"for", "against", "sign"} <= set(page.classes)
    assert "−" in page.text


def test_a_folder_has_page_json_and_figure(tmp_path):
    one = _effects(TextSplit(["my card"]), [1.0, -3.0], other_effects=(2.0, 2.0))
    write_explanation(tmp_path / "out", [one, one], "after", "before")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "word-effects.html",
        "word-effects.json",
        "word-effects.png",
    }
    written = json.loads((tmp_path / "out" / "word-effects.json").read_text())
    assert (written["model"], written["other_model"]) == ("after", "before")
    assert written["texts"][0]["weights"] == [0.25, -0.75]
    assert written["texts"][0]["error"] == -3.0
    assert imread(tmp_path / "out" / "word-effects.png").std() > 0


def test_the_figure_has_a_panel_a_text_and_a_line_a_model():
    one = _effects(TextSplit(["robbed of my card"]), [1.0], other_effects=(1.0,) * 4)
    long = _effects(TextSplit(["$\\frac card " + "my " * 60]), [1.0])
    first, second = word_effects_figure([one, long], ("after", "before")).axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["robbed", "of", "my", "card"]
    assert [words.get_text() for words in first.get_legend().texts] == ["after", "before"]
    assert "the first 40 of" in second.get_title(loc="left")
    assert len(word_effects_figure([one] * 30).axes) == 12


def test_a_page_of_many_texts_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(word_page, "TEXTS_SHOWN", 3)
    one = _effects(TextSplit(["my card"]), [1.0])
    write_explanation(tmp_path / "page.html", [one] * 5, "run")
    written = (tmp_path / "page.html").read_text()
    assert "the first 3 of 5 texts" in written
    assert written.count("Words and effects") == 3
