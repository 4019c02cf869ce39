"""Figure of the weight of each word, in one model or in two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.inspection.drawing import (
    HIT,
    INK,
    MISS,
    MUTED,
    add_legend,
    new_figure,
    save_png,
    style_axes,
    text_properties,
)
from tellapart.inspection.page import abbreviate
from tellapart.inspection.word_effects import WordEffects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS_SHOWN = 40
"""Maximum number of words of a text in a figure; the JSON form has all."""

TEXTS_SHOWN = 12
"""Maximum number of texts in a figure."""


def save_word_effects(
    effects: Sequence[WordEffects],
    path: Path | str,
    names: tuple[str, str] = ("this model", "the other model"),
) -> None:
    """Writes `word_effects_figure` as PNG; raises `OutputError` if it cannot be written."""
    note = f"what each word adds to {effects[0].explained}, as a share of all words' effects"
    if len(effects) > TEXTS_SHOWN:
        note += f"; the first {TEXTS_SHOWN} of {len(effects)} texts"
    save_png(word_effects_figure(effects, names), path, "Effect of each word", note)


def word_effects_figure(
    effects: Sequence[WordEffects], names: tuple[str, str] = ("this model", "the other model")
) -> Figure:
    """Draws the weight of each word, one panel per text, with a line for each model.

    Args:
        effects: From `word_effects`, at least one; the first `TEXTS_SHOWN` are drawn.
        names: Names of the two models in the legend.
    """
    effects = effects[:TEXTS_SHOWN]
    widest = max(min(len(one.words), WORDS_SHOWN) for one in effects)
    figure = new_figure(max(5.0, 1.6 + 0.45 * widest), 2.7 * len(effects))
    panels = figure.subplots(len(effects), 1, squeeze=False).ravel()
    for axes, one in zip(panels, effects, strict=True):
        _draw_text(axes, one, names)
    add_legend(panels[0])
    return figure


def _draw_text(axes: Axes, one: WordEffects, names: tuple[str, str]) -> None:
    words = [abbreviate(word, 16) for word in one.words[:WORDS_SHOWN]]
    places = range(len(words))
    style_axes(axes, y_label="weight (%)")
    cut = f" (the first {WORDS_SHOWN} of {len(one.words)} words)" if len(one.words) > WORDS_SHOWN else ""
    other = "" if one.against is None else f" against {abbreviate(one.against)}"
    title = f"{abbreviate(one.label)}{other}{cut}"
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, **text_properties([title]))
    axes.axhline(0, color=MUTED, lw=0.8)
    for colour, name, weights in [(HIT, names[0], one.weights), (MISS, names[1], one.other_weights)]:
        if weights is not None:
            shown = [100 * weight for weight in weights[:WORDS_SHOWN]]
            axes.plot(places, shown, color=colour, lw=1.6, marker="o", ms=4, label=name)
    axes.set_xticks(places, words, rotation=45, ha="right", rotation_mode="anchor", **text_properties(words))
