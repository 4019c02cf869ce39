"""What is to be run of a table, and how: checked before anything is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tellapart.errors import RecipeError, did_you_mean
from tellapart.reproduction.protocols import Protocol, check_settings, is_shipped


@dataclass(frozen=True)
class TableRequest:
    """A table and the part of it that is asked for.

    Args:
        table: The protocol's name.
        protocol: The protocol.
        rows: Keys of the methods to run, in the protocol's order.
        columns: Keys of the sets to run, in the protocol's order.
        encoders: Role to encoder, every role.
        seeds: One a trial.
        settings: The user's `path=value` changes.
    """

    table: str
    protocol: Protocol
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    encoders: dict[str, str]
    seeds: tuple[int, ...]
    settings: tuple[str, ...]

    @property
    def command(self) -> str:
        """What asks for the same on the command line; a table of one's own by the name of its file."""
        protocol = self.protocol
        words = ["tellapart", "reproduce", self.table + ("" if is_shipped(self.table) else ".yaml")]
        if len(self.rows) < len(protocol.rows):
            words += ["--rows", ",".join(self.rows)]
        if len(self.columns) < len(protocol.columns):
            words += ["--columns", ",".join(self.columns)]
        first = next(iter(protocol.encoders))
        for role, encoder in self.encoders.items():
            if encoder != protocol.encoders[role]:
                words += ["--encoder", encoder if role == first else f"{role}={encoder}"]
        if len(self.seeds) != protocol.trials:
            words += ["--trials", str(len(self.seeds))]
        if self.seeds[0]:
            words += ["--seed", str(self.seeds[0])]
        for setting in self.settings:
            words += ["--set", setting]
        return shlex.join(words)


def table_request(
    table: str,
    protocol: Protocol,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    encoders: Mapping[str, str],
    trials: int | None,
    seed: int,
    settings: Sequence[str],
) -> TableRequest:
    """Holds what is asked for against the table.

    Args:
        table: The protocol's name.
        protocol: The protocol.
        rows: Keys of the methods; none for all.
        columns: Keys of the sets; none for all.
        encoders: Role to encoder, in place of the protocol's.
        trials: Seeds of each cell; None for the protocol's number.
        seed: The first seed.
        settings: `path=value` changes.

    Raises:
        RecipeError: A row, a column, a role or a setting is unknown, or nothing of it can be run.
    """
    for chosen, known, what in (
        (rows, protocol.rows, "row"),
        (columns, protocol.columns, "column"),
        (encoders, protocol.encoders, "encoder"),
    ):
        for name in chosen:
            if name not in known:
                raise RecipeError(
                    f'{table} has no {what} "{name}"{did_you_mean(name, known)}',
                    "choose from " + ", ".join(known),
                )
    if trials is not None and trials < 1:
        raise RecipeError(f"there cannot be {trials} trials", "use --trials 1 or more")
    check_settings(protocol, settings)
    request = TableRequest(
        table=table,
        protocol=protocol,
        rows=tuple(row for row in protocol.rows if not rows or row in rows),
        columns=tuple(column for column in protocol.columns if not columns or column in columns),
        encoders=protocol.encoders | dict(encoders),
        seeds=tuple(range(seed, seed + (trials or protocol.trials))),
        settings=tuple(settings),
    )
    if all(protocol.why_not(row, column) for row in request.rows for column in request.columns):
        raise RecipeError(
            "none of these cells can be run: the paper alone has them", "choose other rows or columns"
        )
    return request
