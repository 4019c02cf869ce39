"""`tellapart check`: checks of the data before training."""

from __future__ import annotations

from tellapart.cli import options as o


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
    json: o.Json = False,
) -> None:
    """Check the data before training.

    Finds duplicates, texts in two splits, one text under two labels, empty
    texts, classes too small to split, texts longer than --max-length.

    Examples:
    tellapart check tickets.csv
    tellapart check tickets.csv --text body --label queue --max-length 256
    tellapart check tickets.csv --set data.multi_label=true
    """
    from tellapart.cli.tables import print_json, show_report
    from tellapart.runs.check import check as run

    report = run(
        data,
        text=text,
        text_pair=text_pair,
        label=label,
        label_delimiter=label_delimiter,
        label_names=None if label_names is None else o.names(label_names),
        regression=regression,
        encoder=encoder,
        max_length=max_length,
        settings=settings,
    )
    if json:
        print_json(report.to_dict())
    else:
        show_report(report)
