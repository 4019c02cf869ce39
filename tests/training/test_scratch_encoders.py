"""TextCNN and HAN under every kind of objective, in the same loop as any Transformers classifier."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from tellapart.encoders.han import HANConfig, HANForSequenceClassification
from tellapart.encoders.textcnn import TextCNNConfig, TextCNNForSequenceClassification
from tellapart.errors import ModelError
from tellapart.objectives import CrossEntropy, LabelDistance, NegativeSupervision, Objective, RDrop
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer


def _model(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "embedding_size": 12, "num_labels": 3} | options
    if name == "textcnn":
        return TextCNNForSequenceClassification(TextCNNConfig(filters=8, **sizes))
    return HANForSequenceClassification(HANConfig(gru_size=8, sep_token_id=5, **sizes))


def _train(
    model: Any, objective: Objective, rows: Any, folder: Any, steps: int = 30, **options: Any
) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=16,
        learning_rate=0.01,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    trainer = Trainer(model, arguments, objective=objective, train_dataset=rows)
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train()
    return trainer


@pytest.mark.parametrize("name", ["textcnn", "han"])
@pytest.mark.parametrize(
    "objective",
    [
        CrossEntropy,
        lambda: CrossEntropy() + NegativeSupervision(),
        lambda: 0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform", projection_size=16),
        lambda: CrossEntropy(both_views=True) + RDrop(),
    ],
    ids=["cross-entropy", "negative-supervision", "label-distance", "r-drop"],
)
def test_a_few_steps_lower_the_loss(name, objective, rows, tmp_path):
    trainer = _train(_model(name), objective(), rows(), tmp_path)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 30
    assert sum(losses[-5:]) / 5 < 0.8 * sum(losses[:3]) / 3


def test_the_largest_norm_holds_after_every_step(rows, tmp_path):
    class Norms(transformers.TrainerCallback):
        seen: list[float] = []  # noqa: RUF012

        def on_step_end(self, args, state, control, model=None, **_):
            self.seen.append(float(model.model.classifier.weight.detach().norm(dim=1).max()))

    model = _model("textcnn", max_norm=0.3)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=5,
        learning_rate=0.1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    Trainer(model, arguments, train_dataset=rows(), callbacks=[Norms()]).train()
    assert len(Norms.seen) == 5
    assert max(Norms.seen) == pytest.approx(0.3, abs=1e-5)


def test_accumulated_batches_give_the_step_of_a_whole_batch(rows, tmp_path):
    weights = []
    for size, accumulation in ((16, 1), (4, 4)):
        model = _model("textcnn", embedding_dropout=0.0, classifier_dropout=0.0)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=3,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
        )
        Trainer(model, arguments, train_dataset=rows()).train()
        weights.append(model.textcnn.convolutions[0].weight.detach())
    torch.testing.assert_close(*weights, atol=1e-5, rtol=1e-4)


def test_an_encoder_without_dropout_cannot_be_compared_with_itself(rows, tmp_path):
    model = _model("textcnn", embedding_dropout=0.0)
    with pytest.raises(ModelError, match="has no dropout"):
        _train(model, 0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform"), rows(), tmp_path)
