from __future__ import annotations

import numpy as np
import pytest
import torch

from tellapart.errors import ModelError, RecipeError
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict
from tellapart.runs.train import train
from tellapart.training.perturbation import token_embeddings


@pytest.fixture
def other_encoder(tiny_encoder, tmp_path_factory) -> str:
    """The tiny encoder with other weights, and words in another order."""
    from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("other")
    words = AutoTokenizer.from_pretrained(tiny_encoder).get_vocab()
    special = [word for word in words if word.startswith("[")]
    rest = sorted(set(words) - set(special))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate([*special, *rest])}
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return str(folder)


def test_two_encoders_learn_in_two_stages_and_serve_every_verb(recipe, other_encoder, ticket_file, tmp_path):
    """MRE-F: fused encoders, auxiliary labels, perturbed embeddings, a fresh classifier on the kept vectors."""
    fused = with_values(
        method_recipe("auxiliary-labels-adversarial", recipe),
        [f"encoder.second={other_encoder}", "stages.1.solver=l-bfgs"],
    )
    result = train(fused, tmp_path / "run", quiet=True)
    assert result.metrics["test"]["accuracy"] > 0.6
    files = {path.suffix for path in (tmp_path / "run" / "model").rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".md"}
    measured = evaluate(tmp_path / "run", str(ticket_file), quiet=True)
    assert measured["rows"] == 192
    assert predict(tmp_path / "run", ticket_file, tmp_path / "out.csv", quiet=True) == 192
    fitted = load_fitted(tmp_path / "run")
    assert len(token_embeddings(fitted.model)) == 2
    data = load_data(fused)
    again = fit(
        with_values(fused, [f"encoder.name={tmp_path / 'run'}", "encoder.second=null"]), data, tmp_path
    )
    assert again.model.config.fusion == "concat"
    assert again.scores(data.test).shape == (len(data.test), 3)


def test_the_estimator_knows_a_fused_model(recipe, other_encoder, tiny_encoder, tickets, tmp_path):
    from tellapart import TextClassifier

    texts, labels = map(list, zip(*tickets[::4], strict=True))
    classifier = TextClassifier(
        "frozen", encoder=tiny_encoder, max_length=24, settings={"encoder.second": other_encoder}
    ).fit(texts, labels)
    classifier.save(tmp_path / "model")
    np.testing.assert_array_equal(
        TextClassifier.load(tmp_path / "model").predict_proba(texts), classifier.predict_proba(texts)
    )


def test_vectors_of_different_widths_have_no_mean(recipe, other_encoder, tmp_path):
    fused = with_values(recipe, [f"encoder.second={other_encoder}", "encoder.fusion=mean"])
    with pytest.raises(ModelError, match="concat"):
        fit(fused, load_data(fused), tmp_path, quiet=True)


def test_the_shorter_of_two_encoders_limits_the_length(recipe, other_encoder, tmp_path):
    fused = with_values(recipe, [f"encoder.second={other_encoder}", "encoder.max_length=50"])
    with pytest.raises(RecipeError, match="at most 40 tokens"):
        fit(fused, load_data(fused), tmp_path, quiet=True)


def test_a_fused_run_between_two_stages_resumes(recipe, other_encoder, tmp_path, monkeypatch):
    from tellapart.fitting import fit as fitting

    fused = with_values(
        method_recipe("auxiliary-labels", recipe), [f"encoder.second={other_encoder}", "stages.0.epochs=2"]
    )
    train(fused, tmp_path / "whole", quiet=True)
    original = fitting.run_stage

    def dies(stage, *rest, **options):
        if stage.learns == "head":
            raise KeyboardInterrupt
        return original(stage, *rest, **options)

    monkeypatch.setattr(fitting, "run_stage", dies)
    with pytest.raises(KeyboardInterrupt):
        train(fused, tmp_path / "run", quiet=True)
    monkeypatch.setattr(fitting, "run_stage", original)
    train(fused, tmp_path / "run", quiet=True, resume=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]
