"""A finished run of TF-IDF that abstains, and a checkpoint that has learned nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tellapart.data.examples import LabelSpace
from tellapart.data.reading.columns import ColumnNames
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.transformer import final_linear
from tellapart.evaluation.decision import Decision
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.playground.model import PlaygroundModel
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.train import train

CLASSES = ("expired", "lost", "stolen")


@pytest.fixture(scope="session")
def noisy_file(tickets, tmp_path_factory) -> Path:
    """The tickets, every ninth with the label of another class, so that a run predicts some wrongly."""
    path = tmp_path_factory.mktemp("noisy") / "tickets.csv"
    rows = [
        (text, CLASSES[(CLASSES.index(label) + 1) % 3] if number % 9 == 0 else label)
        for number, (text, label) in enumerate(tickets)
    ]
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    return path


@pytest.fixture(scope="session")
def run(noisy_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("playground") / "run"
    settings = [f"data.source={noisy_file}", "decision.abstain.coverage=0.6", "decision.temperature=fitted"]
    train(with_values(method_recipe("tfidf"), settings), folder, quiet=True)
    return folder


@pytest.fixture(scope="session")
def fitted(tiny_encoder):
    """Builds a classifier that has learned nothing, whose logits are far apart."""

    def build(labels: LabelSpace = LabelSpace(CLASSES), decision: Decision = Decision()) -> Fitted:  # noqa: B008
        torch.manual_seed(0)
        model = load_encoder(tiny_encoder, labels).eval()
        with torch.no_grad():
            final_linear(model).weight.mul_(20)
        scorer = TransformersScorer(model, load_tokenizer(tiny_encoder), 24)
        return Fitted(scorer, labels, decision=decision, columns=ColumnNames("text", label="label"))

    return build


@pytest.fixture(scope="session")
def checkpoint(fitted, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "other"
    fitted(decision=Decision(temperature=2.0)).save(folder)
    return folder


@pytest.fixture
def asked(fitted):
    """A model of the playground around a classifier."""

    def build(*arguments, **options) -> PlaygroundModel:
        one = fitted(*arguments, **options)
        return PlaygroundModel("a model", one, one)

    return build
