"""Every objective learns with every encoder family, on every form of task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.trainer_callback import PrinterCallback

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import TextData
from tellapart.encoders.transformer import has_dropout
from tellapart.evaluation.task import task_metrics
from tellapart.fitting.fit import fit
from tellapart.fitting.objectives import build_objective
from tellapart.recipes import StageRecipe
from tellapart.training.arguments import TrainingArguments
from tellapart.training.model_overrides import encoder_dropout
from tellapart.training.trainer import Trainer

# Each with every family: every objective there is, the perturbation of embeddings too.
OBJECTIVES = (
    "cross-entropy",
    "negative-supervision",
    "negative-supervision-am",
    "negative-supervision-ace",
    "label-distance",
    "r-drop",
    "supcon",
    "auxiliary-labels-adversarial",
)
METHODS = (*OBJECTIVES, "label-distance-static", "auxiliary-labels")
# Contrasts alone move a head that has hardly a signal slowly at first.
STEPS = {"label-distance": 40, "supcon": 40}
FEW_STEPS = 20


def _trainer(
    model: Any, tokenizer: Any, data: TextData, stage: StageRecipe, folder: Any, steps: int
) -> Trainer:
    counts_confusions = getattr(stage.objective, "distance", None) == "adaptive"
    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        max_steps=steps,
        per_device_train_batch_size=len(data.train),
        learning_rate=stage.learning_rate,
        head_learning_rate=stage.head_learning_rate,
        perturbation=stage.perturbation,
        perturbation_size=stage.perturbation_size,
        eval_strategy="steps" if counts_confusions else "no",
        eval_steps=2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    rows = tokenise(data.train, tokenizer, max_length=64, labels=data.labels)
    objective = build_objective(stage.objective, data.labels)
    trainer = Trainer(model, arguments, objective=objective, train_dataset=rows, eval_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _loss(trainer: Trainer) -> float:
    """The objective on all rows, the encoder and the head in evaluation mode; the same draws every time."""
    module, rows = trainer.model, trainer.train_dataset
    module.train()
    module.model.eval()
    torch.manual_seed(0)
    with torch.no_grad():
        return float(module(**rows.batch(range(len(rows))))["loss"])


@pytest.mark.parametrize("method", OBJECTIVES)
def test_steps_on_one_batch_lower_every_objective_with_every_family(
    load_family, recipe_of, tasks, tmp_path, family, method
):
    data = tasks["documents" if family in ("textcnn", "han") else "single-label"]
    model, tokenizer = load_family(family, data)
    stage = recipe_of(family, method, data.labels).stages[0]
    with encoder_dropout(model, None if has_dropout(model) else 0.1):
        trainer = _trainer(model, tokenizer, data, stage, tmp_path, STEPS.get(method, FEW_STEPS))
        module = trainer.model
        learned_from = {name: value.detach().clone() for name, value in module.named_parameters()}
        trainer.train()
    after = _loss(trainer)
    # Before: under the same label distances, which may have changed on the way.
    module.load_state_dict(learned_from, strict=False)
    before = _loss(trainer)
    assert after < 0.85 * before


FORMS = [(task, method) for task in ("multi-label", "pairs") for method in METHODS]
FORMS += [("ranking", method) for method in ("cross-entropy", "negative-supervision", "auxiliary-labels")]


@pytest.mark.parametrize(("task", "method"), FORMS)
def test_every_method_learns_every_form_of_task(recipe_of, tasks, tmp_path, task, method):
    """From the recipe on, with all its stages; rows of one label stand in the test above."""
    data = tasks[task]
    recipe = recipe_of("bert", method, data.labels, "stages.0.epochs=40", "stages.0.evaluations=2")
    rows = data.train
    fitted = fit(recipe, TextData(rows, rows, None, data.labels), tmp_path, quiet=True)
    metrics = task_metrics(data.labels, rows, fitted.scores(rows))
    losses = [entry["loss"] for entry in fitted.history if "loss" in entry and entry["stage"] == 0]
    least = {"multi-label": ("exact_match", 0.75), "pairs": ("accuracy", 0.75)}
    name, value = least.get(task, ("mean_average_precision", 0.9))
    assert metrics[name] >= value  # of the most frequent answer: 0.33; of equal scores: 0.5 or so
    assert sum(losses[-3:]) / 3 < 0.9 * losses[0]
