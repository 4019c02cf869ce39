"""`tellapart recipes`: the methods and their recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import echo
from tellapart.cli.verbs import Verbs

app = Verbs(invoke_without_command=True)


@app.callback()
def list_methods(context: typer.Context, json: o.Json = False) -> None:
    """List the methods, or show one as a recipe.

    Examples:
    tellapart recipes
    tellapart recipes show label-distance > mine.yaml
    tellapart train tickets.csv --recipe mine.yaml
    """
    from tellapart.cli.tables import print_json, show_methods
    from tellapart.recipes import methods

    if context.invoked_subcommand is not None:
        return
    if json:
        print_json(methods())
    else:
        show_methods(methods())


@app.command("show")
def show_recipe(
    name: Annotated[str, o.argument("METHOD", "A method from `tellapart recipes`.")],
    json: o.Json = False,
) -> None:
    """Print the recipe of a method with every key, as YAML; the run decides null values."""
    from tellapart.cli.tables import print_json
    from tellapart.recipes import method_recipe

    recipe = method_recipe(name)
    if json:
        print_json(recipe.model_dump(mode="json"))
    else:
        echo(recipe.to_yaml(), end="")
