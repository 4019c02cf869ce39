"""Explains predictions by the effect of each word, in one model or in two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tellapart.files import write_json
from tellapart.fitting.folder import claim_folder
from tellapart.fitting.loading import load_fitted
from tellapart.inspection.word_effects import WordEffects, save_word_effects, word_effects


def explain(
    model: str | Path,
    texts: Sequence[str],
    output: str | Path,
    *,
    against: str | Path | None = None,
    overwrite: bool = False,
) -> list[WordEffects]:
    """Measures the effect of each word on the predicted class by leaving the word out.

    Writes `word-effects.json` and `word-effects.png`.

    Args:
        model: A run folder, a checkpoint or an export of a classifier.
        texts: The texts, one panel of the figure each.
        output: The folder to write.
        against: Another model on the same classes, such as one without the second stage; the effects in both are
            drawn beside each other.
        overwrite: Whether to replace earlier results.

    Returns:
        The words and effects of each text.

    Raises:
        UserError: The folder is in use.
        DataError: There are no texts, or one has no word.
        ModelError: There is no classifier, or the two have different classes.
    """
    fitted = load_fitted(model)
    other = None if against is None else load_fitted(against)
    effects = word_effects(fitted, texts, other)
    folder = claim_folder(output, resume=False, overwrite=overwrite)
    models = {"model": str(model), "against": None if against is None else str(against)}
    save_word_effects(effects, folder / "word-effects.png", (models["model"] or "", models["against"] or ""))
    write_json(folder / "word-effects.json", models | {"texts": [one.to_dict() for one in effects]})
    return effects
