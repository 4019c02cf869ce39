"""`tellapart export`: export of a model to ONNX Runtime."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import echo, print_notes


def export(
    model: o.Model,
    format: Annotated[str, o.option("--format", "Format to write: onnx.", "Export", "NAME")] = "onnx",
    quantize: Annotated[
        str | None,
        o.option("--quantize", "int8: 8-bit weights, smaller and faster. Default: none.", "Export", "NAME"),
    ] = None,
    check: Annotated[
        Path | None,
        o.option(
            "--check",
            "Texts to compare the predictions on. Default: the test rows of the run.",
            "Export",
            "FILE",
        ),
    ] = None,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    output: Annotated[
        Path | None, o.option("--output", "Folder to write. Default: that of the model with -onnx.", "Output")
    ] = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Export a model for ONNX Runtime.

    The export is compared with the original before it is written. predict and
    evaluate accept the folder as a model.

    Examples:
    tellapart export runs/tickets --output tickets-onnx
    tellapart export runs/tickets --quantize int8 --check new_tickets.csv
    """
    from dataclasses import asdict

    from tellapart.cli.tables import print_json
    from tellapart.runs.export import export as run

    done = run(
        model,
        output,
        format=format,
        quantize=quantize,
        check=check,
        text=text,
        text_pair=text_pair,
        overwrite=overwrite,
        announce=print_notes,
    )
    if json:
        print_json({"folder": str(done.folder), **asdict(done.manifest)})
        return
    for name, found in done.manifest.agreement.items():
        echo(
            f"{name}: {100 * found.equal_labels:.2f} % of {found.texts} texts get the label of PyTorch, "
            f"logits differ by {found.largest_difference:.2g} at most"
        )
    echo(f"written to {done.folder}")
    echo(f"next: tellapart predict {shlex.quote(str(done.folder))} FILE --output predictions.csv")
