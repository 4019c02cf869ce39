"""Groups of verbs with plain-text help; importing and running rich for it takes longer than all the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


class VerbCommand(TyperCommand):
    """A verb whose help lists the options by panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes one list of parameters per panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)


class Verbs(typer.Typer):
    """A group of verbs; the help of each is its docstring, of which the paragraph `Examples:` keeps its lines."""

    def __init__(self, **settings: Any) -> None:
        settings["context_settings"] = {"help_option_names": ["-h", "--help"]}
        super().__init__(rich_markup_mode=None, pretty_exceptions_enable=False, **settings)

    def command(self, name: str | None = None) -> Callable[[Any], Any]:  # type: ignore[override]
        """Adds a verb, as `typer.Typer.command`."""
        return lambda verb: super(Verbs, self).command(name, cls=VerbCommand, **_help(verb))(verb)

    def callback(self) -> Callable[[Any], Any]:  # type: ignore[override]
        """Sets the function of the group itself, as `typer.Typer.callback`."""
        return lambda group: super(Verbs, self).callback(**_help(group))(group)


def _help(function: Callable[..., None]) -> dict[str, Any]:
    text = inspect.getdoc(function) or ""
    return {"help": text.replace("Examples:\n", "\b\nExamples:\n"), "short_help": text.partition("\n\n")[0]}
