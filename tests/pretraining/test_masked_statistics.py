from __future__ import annotations

import numpy as np
import pytest
import torch

from tellapart.pretraining.masked_statistics import LOOKING_EPOCH, masked_model_folder, masked_statistics

from .test_mlm import table_of


def test_the_counts_are_those_of_a_plain_loop(language_model, sequences, tokenizer):
    model = language_model().train()
    rows = np.array([3, 8, 50, 100, 7])
    table = table_of([(gold, other) for gold in range(5, 200) for other in range(5, 120) if other != gold])
    found = masked_statistics(model, sequences, table, rows=rows, examples=9, tokenizer=tokenizer)
    model.eval()
    right = wrong = corrected = masked = touched = 0
    loss = 0.0
    for row in rows:
        batch = sequences.batch([row], LOOKING_EPOCH)
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[0]
        here = 0
        for place, gold in zip(batch["positions"].tolist(), batch["labels"].tolist(), strict=True):
            guess = int(logits[place].argmax())
            loss -= float(logits[place].log_softmax(-1)[gold].detach())
            masked += 1
            right += guess == gold
            wrong += guess != gold
            here += guess != gold and 5 <= guess < 120
        corrected += here
        touched += here > 0
    assert (found.sequences, found.masked) == (5, masked)
    assert found.accuracy == pytest.approx(right / masked)
    assert found.loss == pytest.approx(loss / masked, rel=1e-5)
    assert found.prediction_level == pytest.approx(corrected / wrong)
    assert found.iteration_level == touched / 5
    assert len(found.corrected) == touched


def test_an_example_is_the_prediction_in_its_context(language_model, sequences, tokenizer, text_file):
    table = table_of([(gold, other) for gold in range(5, 156) for other in range(156) if other != gold])
    model = language_model()
    model.cls.predictions.bias.data[17] = 100.0
    found = masked_statistics(model, sequences, table, examples=4, tokenizer=tokenizer)
    assert len(found.corrected) == 4
    lines = {
        tokenizer.decode(tokenizer(line)["input_ids"], skip_special_tokens=True)
        for line in text_file.read_text().splitlines()
    }
    for one in found.corrected:
        assert one.predicted == tokenizer.decode([17])
        assert one.gold != one.predicted
        whole = "".join(f"{one.before}{one.gold}{one.after}".replace("##", "").split())
        assert any(whole in "".join(line.split()) for line in lines)
        assert 0 < len(one.synonyms) <= 6


def test_without_a_table_nothing_is_said_of_corrections(language_model, sequences):
    model = language_model().train()
    found = masked_statistics(model, sequences, rows=np.arange(4))
    assert (found.prediction_level, found.iteration_level, found.corrected) == (None, None, ())
    assert model.training
    assert not model.base_model._forward_hooks
    assert torch.is_grad_enabled()


def test_of_an_electra_run_the_generator_fills_the_masks(tmp_path):
    assert masked_model_folder(tmp_path) == str(tmp_path)
    (tmp_path / "generator").mkdir()
    (tmp_path / "generator" / "config.json").write_text("{}")
    assert masked_model_folder(tmp_path) == str(tmp_path / "generator")
