"""`tellapart spans`: extractive question answering."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import echo
from tellapart.cli.verbs import Verbs

app = Verbs(no_args_is_help=True, help="Extractive question answering (SQuAD format).")

_Squad = Annotated[
    str, o.argument("DATA", "JSON file in SQuAD format, table of questions, or data set on the Hub.")
]
_Model = Annotated[str, o.argument("MODEL", "Folder that spans train wrote, or a Transformers model.")]


@app.command("train")
def train(
    data: _Squad,
    validation: Annotated[
        Path | None, o.option("--validation", "Questions to evaluate on at the end.", "Data", "FILE")
    ] = None,
    encoder: o.Encoder = None,
    max_length: Annotated[int, o.option("--max-length", "Tokens per window.", "Model")] = 384,
    stride: Annotated[int, o.option("--stride", "Overlap of two windows in tokens.", "Model")] = 128,
    epochs: Annotated[float, o.option("--epochs", "Passes over the windows.", "Training")] = 2.0,
    batch_size: Annotated[int, o.option("--batch-size", "Windows per step.", "Training")] = 16,
    learning_rate: o.LearningRate = None,
    seed: o.Seed = None,
    output: o.Output = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a stock Transformers model for extractive question answering.

    Questions without an answer are supported. Long texts are read in
    overlapping windows.

    Examples:
    tellapart spans train train.json --validation dev.json --output runs/spans
    """
    from tellapart.cli.tables import print_json
    from tellapart.question_answering.runs import train_qa

    folder = output or o.default_output(data, "spans")
    metrics = train_qa(
        data,
        folder,
        encoder=encoder or "minilm",
        validation=validation,
        max_length=max_length,
        stride=stride,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed or 0,
        overwrite=overwrite,
        quiet=quiet,
    )
    if json:
        print_json({"folder": str(folder), **metrics})
        return
    if "validation" in metrics:
        _show(metrics["validation"])
    echo(f"written to {folder}")
    echo(f"next: tellapart spans predict {shlex.quote(str(folder))} FILE --output predictions.json")


@app.command("predict")
def predict(
    model: _Model,
    data: _Squad,
    output: Annotated[Path, o.option("--output", "JSON file to write.")],
    no_answer: Annotated[
        bool,
        o.option("--no-answer", "Allow empty answers from a model that spans train did not train.", "Model"),
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Answer the questions of a file, in the format of SQuAD's scripts.

    Examples:
    tellapart spans predict runs/spans dev.json --output predictions.json
    """
    from tellapart.cli.tables import print_json
    from tellapart.question_answering.runs import predict_qa

    predictions = predict_qa(model, data, output, no_answer=no_answer, quiet=quiet)
    if json:
        print_json({"output": str(output), "questions": len(predictions)})
    else:
        echo(f"{len(predictions)} answers written to {output}")


@app.command("evaluate")
def evaluate(
    answers: Annotated[str, o.argument("MODEL", "Folder of a model, or a JSON file of its answers.")],
    data: _Squad,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure answers by exact match and F1, as SQuAD's scripts do.

    Examples:
    tellapart spans evaluate runs/spans dev.json
    tellapart spans evaluate predictions.json dev.json
    """
    from tellapart.cli.tables import print_json
    from tellapart.question_answering.metrics import evaluate_squad
    from tellapart.question_answering.runs import evaluate_qa

    is_file = Path(answers).suffix == ".json"
    metrics = evaluate_squad(data, answers) if is_file else evaluate_qa(answers, data, quiet=quiet)
    if json:
        print_json(metrics)
    else:
        _show(metrics)


def _show(metrics: dict[str, float]) -> None:
    from tellapart.cli.layout import show_table

    shares = [name for name in metrics if name not in ("total", "missing")]
    total, missing = int(metrics["total"]), int(metrics["missing"])
    header = f"{total:,} questions" + (f", {missing:,} without a prediction" if missing else "")
    rows = [[f"{name.replace('_', ' ')} (%)", f"{100 * metrics[name]:.2f}"] for name in shares]
    show_table([["metric", header], *rows])
