"""Drawing with matplotlib: palette, axes, fonts, and output as PNG or inline SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tellapart.errors import TellapartWarning
from tellapart.files import replacing

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1f2933",
    "muted": "#667380",
    "line": "#e2e6ea",
    "hit": "#2171b5",
    "miss": "#d55e00",
    "card": "#ffffff",
}
"""The light palette of `templates/style.css`; on pages each becomes the CSS variable of its name."""

INK, MUTED, LINE, HIT, MISS, PAPER = COLOURS.values()

_DOTS_PER_INCH = 160


def new_figure(width: float, height: float) -> Figure:
    """Creates a figure (inches) outside pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def style_axes(
    axes: Axes, grid: Literal["x", "y", "both"] = "y", x_label: str = "", y_label: str = ""
) -> None:
    """Applies the common look: light grid, no frame, muted axis labels.

    Args:
        axes: The axes.
        grid: Direction of the grid's axis.
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
    """
    axes.grid(axis=grid, color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=8.5)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(x_label, color=MUTED, fontsize=9, **text_properties([x_label]))
    axes.set_ylabel(y_label, color=MUTED, fontsize=9, **text_properties([y_label]))


def add_legend(axes: Axes) -> None:
    """Adds a legend without a frame where several series are labelled."""
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(fontsize=8.5, frameon=False, labelcolor=MUTED)


def save_png(figure: Figure, path: Path | str, title: str = "", note: str = "") -> None:
    """Writes a figure as PNG, with a title above and a note below it; raises `OutputError` if it cannot."""
    properties: dict[str, Any] = text_properties([title, note]) | {"x": 0.01, "ha": "left"}
    if title:
        figure.suptitle(title, fontsize=12, weight="bold", color=INK, **properties)
    if note:
        figure.supxlabel(note, fontsize=9, color=MUTED, **properties)
    _warn_of_boxes(figure)
    with replacing(path) as temporary, _missing_glyphs_ignored():
        figure.savefig(temporary, format="png", facecolor=PAPER, bbox_inches="tight", pad_inches=0.2)


def svg(figure: Figure) -> Markup:
    """Returns a figure as SVG for a page.

    Texts stay texts, escaped by matplotlib, and colours become the CSS variables of the page. The output has no
    date and no random ids.
    """
    from markupsafe import Markup
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tellapart"}), _missing_glyphs_ignored():
        figure.savefig(buffer, format="svg", transparent=True)
    drawing = buffer.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)  # the same in every figure of a page
    return Markup(re.sub(r"<[^>]*>", lambda tag: _with_variables(tag.group()), drawing))


def _with_variables(tag: str) -> str:
    for name, colour in COLOURS.items():
        tag = tag.replace(f": {colour}", f": var(--{name})")
    return tag


def text_properties(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the properties that draw texts literally: no formulas, and a font that has all their letters.

    The default font comes first; matplotlib takes the letters that it lacks from the second.
    """
    missing = _missing_letters("".join(texts))
    family = _family_covering(missing) if missing else None
    return {"parse_math": False} | ({"fontfamily": ["DejaVu Sans", family]} if family else {})


def _missing_letters(text: str) -> frozenset[str]:
    from matplotlib.font_manager import findfont, get_font

    default = get_font(findfont("DejaVu Sans")).get_charmap()
    return frozenset(letter for letter in text if ord(letter) not in default and not letter.isspace())


def _warn_of_boxes(figure: Figure) -> None:
    """Warns that a PNG shows boxes for letters that no installed font has; browsers have fonts of their own."""
    from matplotlib.text import Text

    missing = _missing_letters("".join(text.get_text() for text in figure.findobj(Text)))
    if missing and _family_covering(missing) is None:
        warnings.warn(
            f"no installed font has the letters {''.join(sorted(missing)[:8])}: figures show boxes instead; "
            "install a font such as Noto Sans CJK.",
            TellapartWarning,
            stacklevel=3,
        )


@lru_cache(maxsize=32)
def _family_covering(characters: frozenset[str]) -> str | None:
    """Returns an installed font family that has all the characters, or None."""
    from matplotlib.font_manager import fontManager, get_font

    codes = {ord(character) for character in characters}
    for entry in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight != 400)):
        if "Last Resort" not in entry.name and codes <= get_font(entry.fname).get_charmap().keys():
            return entry.name
    return None


@contextmanager
def _missing_glyphs_ignored() -> Iterator[None]:
    """Suppresses matplotlib's warning per letter; `text_properties` has warned once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
