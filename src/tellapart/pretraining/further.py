"""Further pre-training of an encoder on texts in memory, as the first step of a run with unlabelled texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tellapart.files import write_text
from tellapart.fitting.environment import is_main_process, wait_for_all
from tellapart.pretraining.recipe import validated_pretraining
from tellapart.pretraining.run import pretrain

_TEXTS = "texts.txt"


def pretrain_encoder(
    encoder: str,
    texts: Sequence[str],
    folder: Path,
    *,
    steps: int | None = None,
    max_length: int | None = None,
    seed: int = 0,
    resume: bool = False,
    quiet: bool = False,
) -> str:
    """Pre-trains an encoder by masked language modelling with hard correction.

    All other settings are the defaults of `tellapart pretrain`. An interrupted run continues to the same weights.

    Args:
        encoder: `minilm`, a folder, or a Hub name.
        texts: The texts; each is a sequence, line ends become spaces.
        folder: For the texts, the checkpoints and the model.
        steps: Optimiser steps; None for three passes over the texts.
        max_length: Longest sequence in tokens, at most that of `tellapart pretrain`, which is the default.
        seed: Seed of all randomness.
        resume: Whether to continue from what the folder holds; else it is emptied.
        quiet: Whether to hide progress.

    Returns:
        The folder of the encoder.

    Raises:
        UserError: The encoder cannot be pre-trained, or the texts differ from those of the interrupted run.
    """
    if is_main_process():
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / _TEXTS, "".join(" ".join(text.split()) + "\n" for text in texts))
    wait_for_all()
    settings = {"texts": str(folder / _TEXTS), "encoder": encoder, "correction": "hard", "seed": seed}
    if steps is not None:
        settings["steps"] = steps
    longest = validated_pretraining(settings).max_length
    if max_length is not None:
        settings["max_length"] = min(longest, max(8, max_length))
    recipe = validated_pretraining(settings)
    result = pretrain(recipe, folder / "run", resume=True, quiet=quiet)
    wait_for_all()
    return str(result.folder)
