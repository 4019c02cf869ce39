"""Reads YAML as plain data: strings, numbers, truth values, null, lists and mappings.

The only place where YAML is parsed. Tags, nesting, the expansion of aliases and the size are limited before any value
is built, so that a hostile or broken file is refused in time linear in its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from tellapart.errors import RecipeError, UserError

MAX_SIZE = 1_000_000
"""Largest YAML text, in bytes of the file and in characters after the expansion of aliases."""

MAX_DEPTH = 50
"""Deepest nesting of lists and mappings."""

_INT64 = 2**63
# YAML 1.1 reads unquoted dates as dates and a lone equals sign as nothing at all; here both are strings.
_UNUSED_TYPES = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


class _Refused(yaml.MarkedYAMLError):
    """YAML outside the limits; `problem` continues a sentence that begins with the name of the source."""

    def __init__(self, problem: str, remedy: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.remedy = remedy


def _whole_number(loader: Any, node: Any) -> int:
    try:
        value = loader.construct_yaml_int(node)
    except ValueError:  # thousands of digits, or 0x without any
        value = _INT64
    if not -_INT64 <= value < _INT64:
        raise _Refused(
            "has a whole number that does not fit into 64 bits", "put names in quotes", node.start_mark
        )
    return value


# The parser in C is fast enough for the largest text; PyYAML is installed without it on some platforms.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Strings: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Values(_FastLoader):
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in rules if tag not in _UNUSED_TYPES]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Values.add_constructor("tag:yaml.org,2002:int", _whole_number)


def parse_yaml(
    written: str,
    name: str,
    error: type[UserError] = RecipeError,
    *,
    remedy: str = "correct its indentation and colons",
    strings: bool = False,
    most: int = MAX_SIZE,
) -> Any:
    """Parses one YAML document; an empty one is None.

    Args:
        written: The YAML.
        name: Its file or key, the subject of messages.
        error: The exception to raise.
        remedy: The remedy for a syntax error.
        strings: Whether all values stay strings, so that a class called `no` or `1` keeps its name.
        most: Largest size in characters, with what aliases stand for.

    Raises:
        UserError: As an `error`: the text is no YAML; has a tag, a duplicate key or a whole number of more than 64
            bits; or is larger or more deeply nested than the limits of this module.
    """
    loader = _Strings if strings else _Values
    try:
        _check_limits(written, loader, most)
        return yaml.load(written, Loader=loader)
    except _Refused as problem:
        raise error(f"{name} {problem.problem}{_line(problem)}", problem.remedy) from None
    except (yaml.YAMLError, ValueError) as problem:  # a ValueError for characters that are no Unicode text
        raise error(f"{name} is not readable YAML{_line(problem)}", remedy) from None


def read_yaml(path: str | Path, error: type[UserError] = RecipeError) -> Any:
    """Reads a YAML file in UTF-8, see `parse_yaml`.

    Raises:
        UserError: As an `error`: the file cannot be read, or as `parse_yaml`.
    """
    try:
        if Path(path).stat().st_size > MAX_SIZE:
            raise error(f"{path} {_TOO_LARGE}", "give a smaller file")
        written = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise error(f"{path} is not readable YAML", "save it in UTF-8") from None
    except OSError as problem:
        raise error(
            f"{path} cannot be read ({problem.strerror})", "check the path and its permissions"
        ) from None
    return parse_yaml(written, str(path), error)


_NODES: Any = yaml.NodeEvent
_TOO_LARGE = f"has more than {MAX_SIZE:,} characters of YAML"


@dataclass
class _Open:
    """A list or mapping whose end has not been reached yet.

    Args:
        anchor: Its anchor, if it has one.
        before: The size of everything that precedes its entries.
        keys: The keys so far; None for a list.
        at_key: Whether the next entry is a key.
    """

    anchor: str | None
    before: int
    keys: set[str] | None
    at_key: bool = True


def _check_limits(written: str, loader: Any, most: int) -> None:
    """Goes through the events of the parser, before nodes and values are built.

    The size counts characters and nodes, and what an alias stands for wherever it is used.
    """
    if len(written) > most:
        raise _Refused(_TOO_LARGE, "give less", None)
    size = 0
    sizes: dict[str | None, int] = {}
    around: list[_Open] = []
    events: Any = yaml.parse(written, Loader=loader)
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            closed = around.pop()
            if closed.anchor is not None:
                sizes[closed.anchor] = size - closed.before
            continue
        if not isinstance(event, _NODES):  # the begin or end of the document
            continue
        if around:
            _check_key(around[-1], event)
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in around):
                raise _Refused("has an alias that contains itself", "write the values out", mark)
            size += sizes.get(event.anchor, 0)
        elif event.tag is not None:
            raise _Refused(f"has the tag {event.tag[:40]}", "write plain values, names in quotes", mark)
        elif isinstance(event, yaml.ScalarEvent):
            size += 1 + len(event.value)
            if event.anchor is not None:
                sizes[event.anchor] = 1 + len(event.value)
        else:
            size += 1
            keys: set[str] | None = set() if isinstance(event, yaml.MappingStartEvent) else None
            around.append(_Open(event.anchor, size, keys))
        if len(around) > MAX_DEPTH:
            raise _Refused(
                f"is nested more than {MAX_DEPTH} levels deep", "nest fewer lists and mappings", mark
            )
        if size > most:
            raise _Refused("has aliases that expand without bounds", "write the values out", mark)


def _check_key(around: _Open, event: Any) -> None:
    """Refuses a mapping's key that is no scalar or that was there before; `event` begins an entry of `around`."""
    if around.keys is None:
        return
    if around.at_key:
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused("has a key that is no name", "write each key as key: value", event.start_mark)
        if event.value in around.keys and event.value != "<<":
            raise _Refused(
                f'has the key "{event.value[:40]}" twice', "leave one of them out", event.start_mark
            )
        around.keys.add(event.value)
    around.at_key = not around.at_key


def _line(problem: Exception) -> str:
    mark = getattr(problem, "problem_mark", None)
    return "" if mark is None else f" at line {mark.line + 1}"
