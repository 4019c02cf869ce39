"""`tellapart reproduce`: runs tables of papers cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import print_notes

_TABLE = "Table"

LIST = "list"


def reproduce(
    table: Annotated[
        str,
        o.argument("TABLE", "Name from `tellapart reproduce list`, or a YAML file that describes a table."),
    ],
    rows: Annotated[
        str | None, o.option("--rows", "Methods, comma-separated. Default: all.", _TABLE, "KEYS")
    ] = None,
    columns: Annotated[
        str | None, o.option("--columns", "Data sets, comma-separated. Default: all.", _TABLE, "KEYS")
    ] = None,
    encoder: Annotated[
        list[str],
        o.option(
            "--encoder",
            "Replaces the first encoder of the table; ROLE=NAME replaces another. May be repeated.",
            _TABLE,
            "NAME",
        ),
    ] = [],  # noqa: B006  typer copies it
    trials: Annotated[
        int | None, o.option("--trials", "Seeds per cell. Default: as in the paper.", _TABLE, min=1)
    ] = None,
    budget: Annotated[
        str | None,
        o.option(
            "--budget", "90s, 30m or 2h, after which no cell starts. Default: no limit.", _TABLE, "TIME"
        ),
    ] = None,
    jobs: o.Jobs = None,
    on: o.On = None,
    worker_cores: o.WorkerCores = None,
    worker_gpus: o.WorkerGpus = None,
    plan: Annotated[bool, o.option("--plan", "Run nothing: count the cells that are left.", _TABLE)] = False,
    seed: o.Seed = None,
    settings: o.Settings = [],  # noqa: B006  typer copies it
    output: o.Output = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a table of a paper again and compare your figures with the paper's.

    Each finished cell is a file: the same command with --resume continues the
    table. A failed cell is reported with the reason, and the rest still runs.

    Examples:
    tellapart reproduce list
    tellapart reproduce clld-table3 --encoder minilm --trials 3 --budget 30m
    tellapart reproduce few-shot --columns trec6,cr --rows tfidf,cross-entropy
    tellapart reproduce clld-table3 --plan
    """
    from tellapart.cli.tables import print_json, show_plan, show_protocols, show_reproduction
    from tellapart.execution.engine import parse_budget
    from tellapart.execution.places import Place
    from tellapart.reproduction.request import is_protocol_file, load_protocol, protocols, table_request

    if table == LIST:
        if json:
            print_json({name: one.model_dump(mode="json") for name, one in protocols().items()})
        else:
            show_protocols(protocols())
        return
    name, protocol = load_protocol(table)
    folder = output or Path("runs") / name
    request = table_request(
        name,
        protocol,
        rows=o.names(rows),
        columns=o.names(columns),
        encoders=_encoders(encoder, protocol.encoders),
        trials=trials,
        seed=seed or 0,
        settings=settings,
        file=table if is_protocol_file(table) else None,
    )
    place = Place(jobs, on, worker_cores, worker_gpus)
    seconds = None if budget is None else parse_budget(budget)
    from tellapart.reproduction.run import reproduce as run
    from tellapart.reproduction.run import table_plan

    if plan:
        planned = table_plan(request, folder, overwrite=overwrite)
        if json:
            print_json(planned.to_dict())
        else:
            show_plan(planned)
        return
    result = run(
        request,
        folder,
        budget=seconds,
        resume=resume,
        overwrite=overwrite,
        quiet=quiet,
        place=place,
        announce=None if quiet else print_notes,
    )
    if json:
        print_json(result.to_dict())
    else:
        show_reproduction(result, folder)


def _encoders(written: Iterable[str], roles: Iterable[str]) -> dict[str, str]:
    """Returns role to encoder; a value without a known role replaces the first encoder."""
    known = list(roles)
    chosen = {}
    for one in written:
        role, equals, name = one.partition("=")
        if equals and role in known:
            chosen[role] = name
        else:
            chosen[known[0]] = one
    return chosen
