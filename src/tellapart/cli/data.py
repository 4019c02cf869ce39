"""`tellapart data`: the benchmark sets that have a name."""

from __future__ import annotations

from typing import Annotated

import typer

from tellapart.cli import options as o

app = typer.Typer(no_args_is_help=True, help="List and fetch benchmark sets.")


@app.command("list")
def list_sets(json: o.Json = False) -> None:
    """List the benchmark sets that can be given by name."""
    from dataclasses import asdict

    from tellapart.cli.tables import print_json, show_sets
    from tellapart.data.benchmarks import registered

    sets = list(registered().values())
    if json:
        print_json([asdict(one) for one in sets])
    else:
        show_sets(sets)


@app.command("fetch")
def fetch_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from [bold]tellapart data list[/].")],
    json: o.Json = False,
) -> None:
    """Fetch a benchmark set into the cache and print its folder.

    [bold]Examples[/]
    tellapart data fetch r8
    tellapart train r8 --output runs/r8
    """
    from tellapart.cli.tables import print_json
    from tellapart.data.benchmarks import fetch

    folder = fetch(name)
    if json:
        print_json({"name": name, "folder": str(folder)})
    else:
        print(folder)
