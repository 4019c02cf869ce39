from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tellapart.errors import TellapartWarning
from tellapart.inspection import drawing
from tellapart.inspection.figures import confusion_figure, curves_figure

EVIL = "<script>alert('x')</script>"


def _matrix_svg(name: str) -> str:
    return drawing.svg(confusion_figure(np.array([[3, 1], [0, 4]]), [name, "$\\frac & {x_"]))


@pytest.mark.parametrize("name", [EVIL, "--><b>", "]]><b>", "&lt;b&gt;", '" onload="x'])
def test_class_names_are_text_and_never_markup_or_formulas(name, parsed):
    page = parsed(_matrix_svg(name))
    assert "text" in page.tags
    assert set(page.tags) <= {"svg", "g", "text", "use", "defs", "style", "path", "clippath", "rect"}
    assert page.texts.count(name) == page.texts.count("$\\frac & {x_") == 2  # a row and a column
    assert not [key for key, _ in page.attributes if key.startswith("on")]
    assert all(value.startswith("#") for key, value in page.attributes if key.endswith("href"))


def test_a_name_that_looks_like_a_colour_stays():
    assert _matrix_svg("fill: #1f2933").count(">fill: #1f2933</text>") == 2


def test_the_same_figure_gives_the_same_svg_without_a_date():
    assert _matrix_svg("a") == _matrix_svg("a")
    assert "metadata" not in _matrix_svg("a")


def test_colours_become_the_variables_of_the_style_sheet():
    found = set(re.findall(r"(?:fill|stroke): (#\\w{6})", _matrix_svg("a")))
    assert not found & set(drawing.COLOURS.values())
    assert "var(--hit)" in _matrix_svg("a")
    style = (Path(drawing.__file__).parent / "templates" / "style.css").read_text()
    light = style[: style.index("@media")]
    assert all(f"--{name}: {colour}" in light for name, colour in drawing.COLOURS.items())


def test_letters_that_the_default_font_lacks_come_from_one_that_has_them():
    bundled = "Ⓐ"  # in matplotlib's STIX, not in its DejaVu Sans
    default, other = drawing.text_properties([f"{bundled} b"])["fontfamily"]
    assert (default, other == default) == ("DejaVu Sans", False)
    assert "fontfamily" not in drawing.text_properties(["plain ASCII"])


def test_letters_that_no_font_has_are_reported_once_and_only_for_pngs(tmp_path):
    unassigned = "\U000e0ff0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = confusion_figure(np.eye(2), ["a", unassigned])
        drawing.svg(figure)
    with pytest.warns(TellapartWarning, match="install a font") as caught:
        drawing.save_png(figure, tmp_path / "x.png")
    assert len(caught) == 1


def test_pyplot_stays_untouched(tmp_path):
    was_there = "matplotlib.pyplot" in sys.modules
    figure = curves_figure([("a", {"b": [(0.0, 1.0)]})])
    drawing.save_png(figure, tmp_path / "x.png", "title", "note")
    drawing.svg(figure)
    assert ("matplotlib.pyplot" in sys.modules) == was_there
