"""What a step is does not depend on how it is computed: in parts, after a crash, after the loss of a process."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("perturbation", ["none", "fgm"])
def test_eight_accumulated_batches_of_4_step_like_one_of_32(
    command, weights, assert_same_weights, steady_encoder, plainly, ticket_file, tmp_path, perturbation
):
    shapes = {"whole": (32, 1, 8), "parts": (4, 8, 64)}
    for name, (batch_size, accumulation, window) in shapes.items():
        command(
            "train",
            ticket_file,
            *plainly,
            "--encoder",
            steady_encoder,
            "--epochs=3",
            f"--set=stages.0.perturbation={perturbation}",
            f"--batch-size={batch_size}",
            f"--set=stages.0.gradient_accumulation_steps={accumulation}",
            f"--set=stages.0.trainer.bucket_window={window}",
            "--output",
            tmp_path / name,
        )
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("method", "selection"),
    [
        ("cross-entropy", "best"),
        ("label-distance", "best"),
        ("auxiliary-labels", "best"),
        ("cross-entropy", "average"),
        ("cross-entropy", "last"),
    ],
)
def test_a_killed_run_resumes_to_the_same_bits(
    command, kill_after_checkpoints, tiny_encoder, ticket_file, tmp_path, method, selection
):
    """With dropout, AdamW, an adaptive distance and the choice of the weights."""
    options = [
        *("train", str(ticket_file), "--encoder", tiny_encoder, f"--method={method}", "--max-length=24"),
        *("--few-shot=12", "--epochs=12", "--batch-size=4", "--learning-rate=1e-3"),
        "--set=stages.0.evaluations=12",
        f"--set=stages.0.selection={selection}",
    ]
    command(*options, "--quiet", "--output", tmp_path / "whole")
    killed = tmp_path / "killed"
    kill_after_checkpoints(options, killed, killed / "checkpoints" / "stage-0", 2)
    assert not (killed / "metrics.json").exists()
    command(*options, "--quiet", "--output", killed, "--resume")
    for file in ("model/model.safetensors", "predictions.parquet"):
        assert (killed / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (killed / "checkpoints").exists()


def test_two_nodes_go_on_from_the_last_checkpoint_after_one_has_lost_its_process(
    command,
    command_that_loses_a_process,
    weights,
    assert_same_weights,
    steady_encoder,
    plainly,
    ticket_file,
    tmp_path,
):
    options = [
        *("train", str(ticket_file), *plainly, "--encoder", steady_encoder, "--method=cross-entropy"),
        *("--epochs=12", "--set=stages.0.evaluations=12", "--quiet"),
    ]
    command(
        *options, "--batch-size=16", "--set=stages.0.trainer.bucket_window=8", "--output", tmp_path / "one"
    )
    killed = tmp_path / "two"
    command_that_loses_a_process(
        [
            *options,
            "--batch-size=8",
            "--set=stages.0.trainer.bucket_window=16",
            "--resume",
            "--output",
            str(killed),
        ],
        killed / "checkpoints" / "stage-0",
    )
    assert_same_weights(weights(tmp_path / "one"), weights(killed))
    assert not (killed / "checkpoints").exists()
