"""Robustness of a saved question answering model to synonym replacement and to distracting sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import RecipeError, did_you_mean
from tellapart.evaluation.robustness import ATTACKS, Answers, Attack, Robustness, compare_answers
from tellapart.fitting.folder import claim_folder, claimed
from tellapart.question_answering.attacks import attacked_examples
from tellapart.question_answering.metrics import exact_match, qa_metrics
from tellapart.question_answering.runs import answer, load_qa_model
from tellapart.question_answering.squad import SquadExample, read_squad
from tellapart.runs.robustness import answer_names, source_name, write_robustness
from tellapart.wordnet.reader import WordNet


def qa_robustness(
    model: str | Path,
    source: Any,
    output: str | Path,
    *,
    attack: Attack = "swap-synonyms",
    share: float = 0.1,
    seed: int = 0,
    protect: Sequence[str] = (),
    wordnet: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Robustness:
    """Measures how an attack on the texts changes a model's answers; writes `robustness.json` and `robustness.html`.

    Args:
        model: Output folder of `train_qa`, or a Transformers question answering model.
        source: As for `tellapart.question_answering.squad.read_squad`.
        output: The folder to write.
        attack: `swap-synonyms`, see `tellapart.evaluation.synonym_swaps`; or `add-sentence`, see
            `tellapart.question_answering.distractors`.
        share: The largest share of a text's words that is replaced. Synonyms only.
        seed: Seed of the choice of words, names and answers.
        protect: Words that are never replaced, besides those of the answers. Synonyms only.
        wordnet: Folder of WordNet; by default its usual place of installation.
        overwrite: Whether to replace the output of another run.
        quiet: Whether to show no progress.

    Raises:
        RecipeError: There is no such attack.
        UserError: The folder is in use, or the share is out of range.
        DataError: The questions, or WordNet, cannot be read.
        ModelError: There is no question answering model.
    """
    if attack not in ATTACKS:
        raise RecipeError(
            f'there is no attack "{attack}"{did_you_mean(attack, ATTACKS)}', f"use {' or '.join(ATTACKS)}"
        )
    dictionary = WordNet(wordnet)
    loaded, examples = load_qa_model(model), read_squad(source)
    options: dict[str, Any] = (
        {"share": share, "protected": sorted(protect)} if attack == "swap-synonyms" else {}
    )
    attacked = attacked_examples(examples, attack, dictionary, seed=seed, **options)

    def answers(rows: Sequence[SquadExample]) -> Answers:
        given = answer(*loaded, rows, quiet=quiet)
        correct = [exact_match(given[row.id], [gold.text for gold in row.answers]) == 1 for row in rows]
        texts = [f"{row.question} ⏎ {row.context}" for row in rows]
        return Answers(texts, list(given.values()), np.array(correct), qa_metrics(rows, given))

    with claimed(output, overwrite=overwrite, inputs=(model, source), emptied=False) as folder:
        result = compare_answers(
            answers(examples),
            answers(attacked.examples),
            [answer_names([[*dict.fromkeys(gold.text for gold in row.answers)]])[0] for row in examples],
            attacked.changes,
            metric="exact_match",
            attack=attack,
            settings={**options, "seed": seed},
            model=str(model),
            source=source_name(source),
        )
        claim_folder(folder, resume=None, overwrite=overwrite)
        write_robustness(folder, result)
        return result
