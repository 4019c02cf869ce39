"""What a step is does not depend on how it is computed: in parts, on several processes, after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def _assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(
            second[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("perturbation", ["none", "fgm"])
def test_eight_accumulated_batches_of_4_step_like_one_of_32(
    command, weights, steady_encoder, plainly, ticket_file, tmp_path, perturbation
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
    _assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


METHODS: dict[str, tuple[str, ...]] = {
    "label-distance": ("--set=stages.0.objective.update_every=1",),
    "negative-supervision": ("--set=stages.0.objective.samples=all",),
    "r-drop": (),
    "label-distance with anchors": (
        "--label-texts=names",
        "--set=stages.0.label_text_weight=0.5",
        "--set=stages.0.label_text_anchors=true",
    ),
    "cross-entropy with perturbation": (
        "--set=stages.0.perturbation=fgm",
        "--set=stages.0.objective.total=5",
    ),
    "cross-entropy averaged": ("--set=stages.0.selection=average", "--set=stages.0.averaging=0.5"),
}


@pytest.fixture(scope="module")
def run_of(steady_encoder, plainly, ticket_file, tmp_path_factory):
    """The command line of a method for a number of processes, and the folder of its run."""
    root = tmp_path_factory.mktemp("runs")

    def line(name: str, ranks: int, *options: str, batch_size: int = 16) -> tuple[Path, list[str]]:
        folder = root / f"{name} on {ranks} {' '.join(options)}"
        return folder, [
            *("train", str(ticket_file), *plainly, *METHODS[name], *options, "--encoder", steady_encoder),
            *(f"--method={name.split()[0]}", "--epochs=5", f"--batch-size={batch_size // ranks}"),
            f"--set=stages.0.trainer.bucket_window={8 * ranks}",
            *("--output", str(folder)),
        ]

    return line


def _in_chunks(run_of, ranks: int, chunk: int | None) -> tuple[Path, list[str]]:
    cache = "null" if chunk is None else str(chunk)
    return run_of("label-distance", ranks, f"--set=stages.0.gradient_cache={cache}", batch_size=32)


@pytest.fixture(scope="module")
def on_two(run_of, commands_on_two) -> dict[str, Path]:
    """The folders of runs on two processes: of all methods, and of one with batches in chunks."""
    runs = {name: run_of(name, 2) for name in METHODS} | {"chunks": _in_chunks(run_of, 2, 5)}
    commands_on_two([arguments for _, arguments in runs.values()])
    return {name: folder for name, (folder, _) in runs.items()}


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_step_like_one(command, weights, run_of, on_two, name):
    folder, arguments = run_of(name, 1)
    command(*arguments)
    _assert_same(weights(folder), weights(on_two[name]))


def test_a_batch_in_chunks_steps_like_one_pass_on_one_process_and_on_two(command, weights, run_of, on_two):
    """With two views and a projection that learns; the last batch does not fill the chunks."""
    found = {"two processes": on_two["chunks"]}
    for chunk in (None, 10):
        found[chunk], arguments = _in_chunks(run_of, 1, chunk)
        command(*arguments)
    _assert_same(weights(found[None]), weights(found[10]))
    _assert_same(weights(found[None]), weights(found["two processes"]))


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
    command, command_that_loses_a_process, weights, steady_encoder, plainly, ticket_file, tmp_path
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
    _assert_same(weights(tmp_path / "one"), weights(killed))
    assert not (killed / "checkpoints").exists()
