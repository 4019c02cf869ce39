"""Options for the trainer are checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tellapart.errors import RecipeError
from tellapart.fitting.fingerprints import recipe_fingerprint
from tellapart.fitting.stages import check_trainer_sections
from tellapart.fitting.trainer_options import checkpoints_activations, trainer_options
from tellapart.recipes import Recipe, with_values
from tellapart.recipes.private_options import refuse_private
from tellapart.recipes.spaces import parse_spaces
from tellapart.runs.train import train
from tellapart.training.arguments import TrainingArguments


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
        ("eval_strategy=epoch", "set evaluations instead"),
        ("eval_steps=5", "set evaluations instead"),
        ("greater_is_better=false", "set metric instead"),
        ("save_strategy=epoch", "has no effect"),
        ("save_total_limit=5", "has no effect"),
        ("save_only_model=true", "has no effect"),
        ("fsdp=full_shard", "not supported"),
        ("deepspeed=config.json", "not supported"),
        ("push_to_hub=true", "tellapart push"),
        ("hub_token=hf_secret", "set HF_TOKEN, and upload the finished model with tellapart push"),
        ("hub_model_id=me/private", "tellapart push"),
        ("hub_private_repo=false", "tellapart push"),
        ("trackio_space_id=me/runs", "TRACKIO_SPACE_ID"),
        ("trackio_static_space_id=me/runs", "TRACKIO_SPACE_ID"),
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
    assert "hf_secret" not in str(caught.value)


def test_options_that_the_trainer_takes_pass():
    _check("optim=sgd", "max_grad_norm=0.5", "max_steps=5", "adam_beta2=0.98", "adam_epsilon=1e-8")
    _check("lr_scheduler_type=reduce_lr_on_plateau", "trim_embeddings=false", "bucket_window=1")
    _check("lr_scheduler_type=cosine_with_restarts", "lr_scheduler_kwargs={num_cycles: 2}", "max_steps=-1")


def test_every_option_of_the_trainer_that_names_a_place_to_send_to_or_a_secret_is_refused():
    private = re.compile("token$|^hub|^push|secret|password|space_id|bucket_id")
    names = [field.name for field in dataclasses.fields(TrainingArguments) if private.search(field.name)]
    assert {"hub_token", "push_to_hub", "trackio_bucket_id"} <= set(names)
    for name in names:
        with pytest.raises(RecipeError, match="files that are shared"):
            refuse_private([name])


def test_a_secret_is_refused_before_anything_is_written(ticket_file, tmp_path):
    set_token = "stages.0.trainer.hub_token=hf_secret"
    recipe = with_values(Recipe(), [f"data.source={ticket_file}", "encoder.name=tfidf"])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.json").write_text("{}")  # an earlier run, so that the folder stays
    with pytest.raises(RecipeError, match="hub_token"):
        train(with_values(recipe, [set_token]), folder, resume=True)
    assert not [path for path in Path(folder).rglob("*") if "hf_secret" in path.read_text()]
    with pytest.raises(RecipeError, match="hub_token"):
        recipe_fingerprint("sweep", with_values(recipe, [set_token]), {})
    for space in ("stages.0.trainer.hub_token=a,b", "stages.0.trainer={hub_token: a}"):
        with pytest.raises(RecipeError, match="hub_token"):
            parse_spaces(recipe, [space])


@pytest.mark.parametrize("reports", ["wandb", ["trackio"], "all", ["tensorboard", "mlflow"], None])
def test_pre_training_which_has_no_trackers_reports_to_files_alone(reports):
    with pytest.raises(RecipeError, match="can only be tensorboard"):
        trainer_options({"report_to": reports}, TrainingArguments, {})
    for local in ("none", "tensorboard", ["tensorboard"]):
        assert trainer_options({"report_to": local}, TrainingArguments, {}) == {"report_to": local}


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
def test_computing_activations_again_has_the_name_of_the_installed_transformers(name, recwarn):
    _check(f"{name}=true")
    (known,) = trainer_options({name: True}, TrainingArguments, {})
    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert known == "activation_checkpointing" if "activation_checkpointing" in fields else known in fields
    assert checkpoints_activations({name: True})
    assert not checkpoints_activations({name: False})
    assert not [warning for warning in recwarn if "deprecated" in str(warning.message)]


def test_an_option_of_transformers_under_its_earlier_name_is_given_to_earlier_versions():
    @dataclasses.dataclass
    class Earlier:
        gradient_checkpointing: bool = False

    assert trainer_options({"activation_checkpointing": True}, Earlier, {}) == {
        "gradient_checkpointing": True
    }
