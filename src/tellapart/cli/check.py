"""`tellapart check`: checks of the data before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from tellapart.cli import options as o
from tellapart.cli.relabel import used_settings


def check(
    data: o.Data,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    label_delimiter: o.LabelDelimiter = None,
    label_names: o.LabelNames = None,
    regression: o.Regression = None,
    encoder: o.Encoder = None,
    max_length: o.MaxLength = None,
    settings: o.Settings = [],  # noqa: B006  typer copies it
    deep: Annotated[
        bool, o.option("--deep", "Also audit the labels with the encoder's vectors (extra audit).")
    ] = False,
    output: Annotated[
        Path | None, o.option("--output", "With --deep: folder to write. Default: in runs/.", "Output")
    ] = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check the data before training.

    Finds duplicates, texts in two splits, one text under two labels, empty
    texts, classes too small to split, texts longer than --max-length.
    With --deep also suspect labels, classes that overlap and near-duplicates,
    written as audit.html, audit.json and suspects.csv.

    Examples:
    tellapart check tickets.csv
    tellapart check tickets.csv --deep --output runs/audit
    tellapart check tickets.csv --text body --label queue --max-length 256
    tellapart check tickets.csv --set data.multi_label=true
    """
    from tellapart.cli.tables import print_json, show_audit, show_report
    from tellapart.errors import UserError
    from tellapart.runs.check import check as run
    from tellapart.runs.check import read_checked

    if not deep and (output is not None or overwrite):
        raise UserError("only an audit of the labels writes files", "add --deep, or leave out --output")
    given: dict[str, Any] = {
        "text": text,
        "text_pair": text_pair,
        "label": label,
        "label_delimiter": label_delimiter,
        "label_names": None if label_names is None else o.names(label_names),
        "regression": regression,
        "encoder": encoder,
        "max_length": max_length,
        "settings": settings,
    }
    found, read = None, read_checked(data, **given)
    if deep:  # first: what cannot be audited ends before anything is printed
        from tellapart.runs.audit import audit

        output = output or o.default_output(str(data), "audit")
        found = audit(data, output, **given, overwrite=overwrite, quiet=quiet, read=read)
    report = run(data, **given, read=read)
    if json:
        print_json(report.to_dict() | ({} if found is None else {"audit": found.to_dict()}))
        return
    show_report(report)
    if found is not None and output is not None:
        show_audit(found, output, _reading(given))


def _reading(given: Mapping[str, Any]) -> list[str]:
    """The options by which `relabel` reads the same rows."""
    named = {name: given[name] for name in ("text", "text_pair", "label", "label_delimiter")}
    named["label_names"] = given["label_names"] and ",".join(given["label_names"])
    options = [
        word
        for name, value in named.items()
        if value is not None
        for word in ("--" + name.replace("_", "-"), value)
    ]
    return options + [word for setting in used_settings(given["settings"]) for word in ("--set", setting)]
