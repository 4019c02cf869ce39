"""What two processes step is what one process does: in training, with batches in chunks, in pre-training."""

from __future__ import annotations

from pathlib import Path

import pytest

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
def pretraining_of(steady_encoder, many_synonyms, ticket_file, tmp_path_factory):
    """The command line of a pre-training with hard correction, and the folder of its run."""
    root = tmp_path_factory.mktemp("pretraining")
    settings = [
        "max_length=24", "steps=12", "learning_rate=0.3", "trainer.optim=sgd", "weight_decay=0",
        "correction=hard+soft", f"synonyms={many_synonyms}", "precision=fp32", f"encoder={steady_encoder}",
    ]  # fmt: skip

    def line(batch_size: int, accumulation: int = 1) -> tuple[Path, list[str]]:
        folder = root / f"{batch_size} {accumulation}"
        batches = [f"batch_size={batch_size}", f"gradient_accumulation_steps={accumulation}"]
        return folder, [
            *("pretrain", str(ticket_file), "--quiet", "--output", str(folder)),
            *(f"--set={setting}" for setting in (*settings, *batches)),
        ]

    return line


@pytest.fixture(scope="module")
def on_two(run_of, pretraining_of, commands_on_two) -> dict[str, Path]:
    """The folders of runs on two processes, which start once: that takes longer than the runs."""
    runs = {name: run_of(name, 2) for name in METHODS} | {"chunks": _in_chunks(run_of, 2, 5)}
    runs |= {"pre-training": pretraining_of(8), "accumulating pre-training": pretraining_of(4, 2)}
    commands_on_two([arguments for _, arguments in runs.values()])
    return {name: folder for name, (folder, _) in runs.items()}


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_step_like_one(command, weights, assert_same_weights, run_of, on_two, name):
    folder, arguments = run_of(name, 1)
    command(*arguments)
    assert_same_weights(weights(folder), weights(on_two[name]))


def test_a_batch_in_chunks_steps_like_one_pass_on_one_process_and_on_two(
    command, weights, assert_same_weights, run_of, on_two
):
    """With two views and a projection that learns; the last batch does not fill the chunks."""
    found = {"two processes": on_two["chunks"]}
    for chunk in (None, 10):
        found[chunk], arguments = _in_chunks(run_of, 1, chunk)
        command(*arguments)
    assert_same_weights(weights(found[None]), weights(found[10]))
    assert_same_weights(weights(found[None]), weights(found["two processes"]))


def test_two_processes_pre_train_like_one_with_hard_correction(
    command, weights, assert_same_weights, pretraining_of, on_two
):
    folder, arguments = pretraining_of(16)
    command(*arguments)
    for name in ("pre-training", "accumulating pre-training"):
        assert_same_weights(weights(folder), weights(on_two[name]))
