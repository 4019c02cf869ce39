"""What a step of pre-training is does not depend on how it is computed: on two processes, after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tellapart.encoders.loading import load_tokenizer
from tellapart.pretraining.recipe import PretrainRecipe, with_pretraining_values
from tellapart.pretraining.run import pretrain
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.vocabulary import vocabulary_fingerprint


@pytest.fixture(scope="module")
def many_synonyms(tiny_encoder, tmp_path_factory) -> Path:
    """A table in which every token is a synonym of every even one."""
    tokenizer = load_tokenizer(tiny_encoder)
    size = len(tokenizer)
    keys = torch.arange(size * size)
    wanted = (keys // size % 2 == 0) & (keys // size != keys % size)
    path = tmp_path_factory.mktemp("synonyms") / "many.safetensors"
    SynonymTable(keys[wanted], size, vocabulary_fingerprint(tokenizer), "test").save(path)
    return path


def _recipe(*settings: str) -> PretrainRecipe:
    return with_pretraining_values(PretrainRecipe(), settings)


def test_two_processes_step_like_one_with_hard_correction(
    commands_on_two, weights, steady_encoder, many_synonyms, ticket_file, tmp_path
):
    settings = [
        "max_length=24", "steps=12", "learning_rate=0.3", "trainer.optim=sgd", "weight_decay=0",
        "correction=hard+soft", f"synonyms={many_synonyms}", "precision=fp32", f"encoder={steady_encoder}",
    ]  # fmt: skip
    pretrain(_recipe(f"texts={ticket_file}", *settings, "batch_size=16"), tmp_path / "1", quiet=True)
    same = {"2": ["batch_size=8"], "2-accumulated": ["batch_size=4", "gradient_accumulation_steps=2"]}
    commands_on_two(
        [
            ["pretrain", str(ticket_file), "--quiet", "--output", str(tmp_path / folder)]
            + [f"--set={setting}" for setting in (*settings, *batches)]
            for folder, batches in same.items()
        ]
    )
    for folder in same:
        found = weights(tmp_path / folder)
        for name, value in weights(tmp_path / "1").items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4)


def test_a_killed_run_resumes_to_the_same_bits(
    weights, kill_after_checkpoints, tiny_encoder, many_synonyms, ticket_file, tmp_path
):
    settings = [
        "max_length=24", "steps=150", "save_every=10", "batch_size=8", "correction=hard+soft",
        f"synonyms={many_synonyms}", f"encoder={tiny_encoder}",
    ]  # fmt: skip
    recipe = _recipe(f"texts={ticket_file}", *settings)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["pretrain", str(ticket_file), *(f"--set={setting}" for setting in settings)]
    kill_after_checkpoints(options, killed, killed / "checkpoints", 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the process that was killed: sums are split by threads
    try:
        pretrain(recipe, killed, resume=True, quiet=True)
        pretrain(recipe, whole, quiet=True)
    finally:
        torch.set_num_threads(threads)
    for name, value in weights(whole).items():
        assert torch.equal(weights(killed)[name], value), name
