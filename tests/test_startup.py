"""What a command imports: heavy packages cost seconds, so each command loads only those that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from tellapart.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code or 0
print("imported:", *sorted(sys.modules))
sys.exit(code)
"""


def _imported(*arguments: str, code: int = 0) -> set[str]:
    """Runs a command in a process of its own and returns the modules that it has imported at its end."""
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == code, finished.stderr
    return set(finished.stdout.splitlines()[-1].removeprefix("imported:").split())


@pytest.fixture(scope="module")
def rows(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    quoted = [f'"{text}",{label}\n' for text, label in tickets]
    file.write_text("text,label\n" + "".join(quoted), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def model(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("model")
    AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    return str(folder)


def test_a_prediction_imports_what_scoring_needs_and_no_more(model: str, rows: str, tmp_path: Path) -> None:
    imported = _imported("predict", model, rows, "--output", str(tmp_path / "labelled.csv"))
    assert "torch" in imported
    unneeded = {"sklearn", "matplotlib", "datasets", "pandas", "onnxruntime", "cleanlab", "captum"}
    assert imported & unneeded == set()
    assert (
        imported & {"transformers.trainer", "transformers.training_args", "tellapart.training.trainer"}
        == set()
    )


@pytest.mark.parametrize("encoder", ["tiny", "textcnn"])
def test_checks_of_the_data_import_no_torch(encoder: str, tiny_encoder: str, rows: str) -> None:
    imported = _imported("check", rows, "--encoder", tiny_encoder if encoder == "tiny" else encoder)
    assert "transformers" in imported
    assert imported & {"torch", "sklearn", "matplotlib", "datasets", "accelerate"} == set()


@pytest.mark.parametrize(
    "mistake",
    [
        ["--method", "contrsat"],
        ["--set", "stages.0.objective.tau=3"],
    ],
)
def test_a_mistake_in_the_options_of_a_training_is_told_before_torch_is_imported(
    mistake: list[str], rows: str
) -> None:
    imported = _imported("train", rows, *mistake, code=2)
    assert imported & {"torch", "sklearn", "transformers", "matplotlib"} == set()
