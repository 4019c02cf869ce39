"""Options for the trainer are checked before anything is loaded."""

from __future__ import annotations

import pytest

from tellapart.errors import RecipeError
from tellapart.fitting.stages import check_trainer_sections
from tellapart.recipes import Recipe, with_values


def _check(*assignments: str) -> None:
    recipe = with_values(Recipe(), [f"stages.0.trainer.{assignment}" for assignment in assignments])
    check_trainer_sections(recipe.stages)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optim=bogus", "does not accept optim"),
        ("optim=[a]", "optim"),
        ("optim=adamw_bnb_8bit", "bitsandbytes"),
        ("adam_beta1=2", "Invalid beta"),
        ("adam_beta1=x", "valid number"),
        ("adam_epsilon=.inf", "finite number"),
        ("adam_epsilon=-1", "give 0 or more"),
        ("max_steps=1e9", "10,000,000"),
        ("max_steps=1.5", "valid integer"),
        ("fsdp=full_shard", "not supported"),
        ("deepspeed=config.json", "not supported"),
        ("push_to_hub=true", "not supported"),
        ("report_to=wandb", "set --track instead"),
        ("lr_scheduler_type=bogus", "lr_scheduler_type"),
        ("lr_scheduler_kwargs={a: 1}", "unexpected keyword"),
        ("logging_steps=0", "logging_steps"),
        ("log_level=loud", "log_level"),
        ("dataloader_num_workers=100000", "0 to 256"),
        ("bucket_window=0", "1 or more"),
        ("accelerator_config=nowhere.json", "accelerator_config"),
    ],
)
def test_an_option_that_the_trainer_would_refuse_is_refused_in_one_sentence(assignment, message):
    with pytest.raises(RecipeError, match=message) as caught:
        _check(assignment)
    assert len(str(caught.value)) < 400


def test_options_that_the_trainer_takes_pass():
    _check("optim=sgd", "max_grad_norm=0.5", "max_steps=5", "adam_beta2=0.98", "adam_epsilon=1e-8")
    _check("lr_scheduler_type=reduce_lr_on_plateau", "trim_embeddings=false", "bucket_window=1")
    _check("lr_scheduler_type=cosine_with_restarts", "lr_scheduler_kwargs={num_cycles: 2}", "max_steps=-1")
