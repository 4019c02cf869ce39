"""What a step of pre-training is does not depend on how it is computed: on two processes, after a crash."""

from __future__ import annotations

import torch

from tellapart.pretraining.recipe import PretrainRecipe, with_pretraining_values
from tellapart.pretraining.run import pretrain


def _recipe(*settings: str) -> PretrainRecipe:
    return with_pretraining_values(PretrainRecipe(), settings)


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
