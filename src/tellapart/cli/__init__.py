"""The command line: `tellapart VERB`, each verb a thin file over the library function of the same name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tellapart import __version__
from tellapart.cli import (
    check,
    compare,
    data,
    evaluate,
    export,
    predict,
    pretrain,
    recipes,
    reproduce,
    robustness,
    spans,
    sweep,
    synonyms,
    train,
)
from tellapart.cli.messages import failures_in_one_line, notes_on_stderr

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("robustness")(robustness.robustness)
app.command("check")(check.check)
app.command("pretrain")(pretrain.pretrain)
app.command("pretrain-stats")(pretrain.pretrain_stats)
app.add_typer(spans.app, name="spans")
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipes")
app.add_typer(synonyms.app, name="synonyms")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tellapart {__version__}")
        raise typer.Exit


@app.callback()
def tellapart(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; before or after the verb.")
    ] = False,
) -> None:
    """Train text classifiers that tell look-alike texts apart.

    [bold]Examples[/]
    tellapart check tickets.csv       what is wrong with the data
    tellapart compare tickets.csv     whether a method helps on them
    tellapart train tickets.csv       a plain Transformers checkpoint
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        arguments: What follows the program's name; by default what the process was started with.

    Raises:
        SystemExit: Always: 0; 2 for the user's mistakes; 1 for other failures; 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # taken off here, so that it may stand anywhere
    with notes_on_stderr(), failures_in_one_line(debug):
        app(args=[argument for argument in given if argument != "--debug"], prog_name="tellapart")
