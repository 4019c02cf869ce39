"""Page of texts whose words are coloured by what they add to the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tellapart.inspection.page import Bar, write_page
from tellapart.inspection.word_effects import ATTRIBUTIONS, WordEffects

TEXTS_SHOWN = 1000
"""Maximum number of texts on a page; the JSON form has all."""

SIGNED_SHARE = 0.25
"""Words of at least this share of the strongest effect carry a sign beside the colour and the line."""


class Marked(NamedTuple):
    """A piece of a text.

    Args:
        text: The piece.
        effect: Of the word; None for what is between words.
        strength: Absolute effect as a share of the strongest one in the row, 0 to 1.
    """

    text: str
    effect: float | None
    strength: float


def marked_texts(one: WordEffects) -> list[list[Marked]]:
    """Returns the text, and the second text of a pair, as pieces."""
    strongest = max(map(abs, one.effects), default=0.0)
    columns = [one.text] if one.text_pair is None else [one.text, one.text_pair]
    pieces: list[list[Marked]] = [[] for _ in columns]
    done = [0] * len(columns)
    for place, effect in zip(one.places, one.effects, strict=True):
        text = columns[place.column]
        pieces[place.column] += [
            Marked(text[done[place.column] : place.start], None, 0.0),
            Marked(text[place.start : place.end], effect, abs(effect) / strongest if strongest else 0.0),
        ]
        done[place.column] = place.end
    for column, text in enumerate(columns):
        pieces[column].append(Marked(text[done[column] :], None, 0.0))
    return [[piece for piece in row if piece.text] for row in pieces]


def effect_rows(one: WordEffects) -> list[list[str | Bar]]:
    """Returns a table of the words in the order of the text, with their effects; the header first."""
    strongest = max(map(abs, (*one.effects, *(one.other_effects or ()))), default=0.0) or 1.0
    header: list[str | Bar] = ["word", "effect"]
    if one.other_effects is not None:
        header.append("in the other model")
    columns = [effects for effects in (one.effects, one.other_effects) if effects is not None]
    return [
        header,
        *(
            [word, *(Bar(signed(effect), abs(effect) / strongest) for effect in effects)]
            for word, *effects in zip(one.words, *columns, strict=True)
        ),
    ]


def signed(effect: float) -> str:
    """Returns an effect with its sign and two decimals, with a true minus."""
    return f"{effect:+.2f}".replace("-", "−")


def summary(one: WordEffects) -> str:
    """Returns the explained number, and how much of it the words make up, as a sentence."""
    what = f'logit of "{one.label}"'
    if one.against is not None:
        what += f' minus that of "{one.against}"'
    elif one.regression:
        what = "predicted number"
    found = f"{what}: {signed(one.output)}"
    if one.baseline is None:
        return found + "."
    return f"{found}; the words add {signed(sum(one.effects))} to {signed(one.baseline)} without them."


def method_sentence(effects: Sequence[WordEffects]) -> str:
    """Returns how the effects were computed."""
    first = effects[0]
    sentence = f"Effects by {ATTRIBUTIONS[first.attribution]}"
    if first.other_attribution not in (None, first.attribution):
        sentence += f"; in the other model by {ATTRIBUTIONS[str(first.other_attribution)]}"
    return sentence + "."


def write_words_page(
    path: Path | str, effects: Sequence[WordEffects], model: str, other_model: str = ""
) -> None:
    """Writes the page; raises `OutputError` if it cannot be written.

    Args:
        path: The file.
        effects: From `word_effects`, at least one; the first `TEXTS_SHOWN` are shown.
        model: Name of the model.
        other_model: Name of the model whose effects are in the tables too; empty for none.
    """
    count = f"{len(effects):,} {'text' if len(effects) == 1 else 'texts'}"
    if len(effects) > TEXTS_SHOWN:
        count = f"the first {TEXTS_SHOWN:,} of {count}"
    write_page(
        path,
        "inspection/templates/words.html",
        title="Which words decide",
        subtitle=f"{model} · {count} · {method_sentence(effects)}"
        + (f" The other model: {other_model}." if other_model else ""),
        texts=[
            {"one": one, "marked": marked_texts(one), "rows": effect_rows(one), "summary": summary(one)}
            for one in effects[:TEXTS_SHOWN]
        ],
        signed_share=SIGNED_SHARE,
        regression=effects[0].regression,
    )
