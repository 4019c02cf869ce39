"""The command line `tellapart VERB`; each verb is a module that calls the library function of the same name."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from tellapart.cli.encodings import print_in_every_encoding
from tellapart.cli.messages import echo, failures_in_one_line, notes_on_stderr
from tellapart.cli.verbs import Verbs

_VERBS = (
    "train compare reproduce sweep evaluate predict playground serve explain suggest export push robustness check "
    "relabel pretrain pretrain-stats spans data recipes synonyms"
)
VERBS = {verb: verb.removesuffix("-stats") for verb in _VERBS.split()}
"""Verb to its module, which has a function of that name, or a Typer `app` for a verb with verbs of its own."""


def application(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Returns the command line with some of its verbs; only their modules are imported."""
    app = Verbs(no_args_is_help=True)
    app.callback()(tellapart)
    for verb in verbs:
        module = importlib.import_module(f"tellapart.cli.{VERBS[verb]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(getattr(module, verb.replace("-", "_")))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from tellapart.cli.version import full_version  # starts git: not needed otherwise

        echo(f"tellapart {full_version()}")
        raise typer.Exit


def tellapart(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, in a checkout with its commit.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; before or after the command.")
    ] = False,
) -> None:
    """Train text classifiers that tell look-alike texts apart.

    Examples:
    tellapart check tickets.csv                      what is wrong with the data
    tellapart compare tickets.csv                    whether the recommended method helps on them
    tellapart train tickets.csv --method contrast    a plain Transformers checkpoint
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        arguments: The arguments after the program's name; by default those of the process.

    Raises:
        SystemExit: Always: 0; 2 for the user's mistakes; 1 for other failures; 130 after Ctrl-C.
    """
    print_in_every_encoding()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # removed here, so that it may appear anywhere
    given = [argument for argument in given if argument != "--debug"]
    verbs = given[:1] if given and given[0] in VERBS else VERBS  # the help of one verb needs no other
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # under torchrun
        from tellapart.fitting.environment import disconnect

        atexit.register(disconnect)
    with notes_on_stderr(), failures_in_one_line(debug):
        application(verbs)(args=given, prog_name="tellapart")
