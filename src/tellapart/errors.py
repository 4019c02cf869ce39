"""Exceptions and warnings: every message has a cause and a remedy.

Messages are written where the condition is found; this module holds the classes, and the explanation of pydantic's
validation errors.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class TellapartError(Exception):
    """Base class of tellapart's exceptions; the message is "cause: remedy.".

    Args:
        cause: The problem, with the file, column or value, as one clause without a full stop.
        remedy: What the user can do, as one clause without a full stop.

    Attributes:
        exit_code: Exit code of the command line.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause = readable(cause)
        self.remedy = readable(remedy)
        super().__init__(f"{self.cause}: {self.remedy}.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes by cause and remedy: subclasses are made from other arguments."""
        return _same_error, (type(self), self.cause, self.remedy)


def _same_error(kind: type[TellapartError], cause: str, remedy: str) -> TellapartError:
    error = kind.__new__(kind)
    TellapartError.__init__(error, cause, remedy)
    return error


class UserError(TellapartError, ValueError):
    """Invalid input: a file, a column, an option, a value."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as they are."""


class NoRowsError(DataError):
    """A file of data has no rows."""


class RecipeError(UserError):
    """A recipe or an option is invalid."""


class ModelError(UserError):
    """An encoder or a saved model cannot be used as it is."""


class MissingDependencyError(UserError):
    """An optional package is not installed.

    Args:
        package: Name of the package.
        extra: The extra of tellapart with this package; None if there is none.
        purpose: The operation that needs it.
        install: The command that installs it, if it is another than pip with the extra or the package.
    """

    def __init__(self, package: str, extra: str | None, purpose: str, install: str | None = None) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed",
            install or (f"pip install 'tellapart[{extra}]'" if extra else f"pip install {package}"),
        )


class TrackerError(UserError):
    """An experiment tracker cannot be started, whatever is trained."""


class OutputError(TellapartError, OSError):
    """Results cannot be written, for example to a full disk or without permission."""

    exit_code = 2


class TellapartWarning(UserWarning):
    """A problem that does not stop the run."""


MOST_CHARACTERS = 1000
"""Longest cause or remedy; data may have labels and column names of any length and number."""


def readable(message: str, most: int = MOST_CHARACTERS) -> str:
    """Cuts the middle out of a message of more than `most` characters."""
    if len(message) <= most:
        return message
    return f"{message[: most * 2 // 3]} […] {message[-most // 3 :]}"


def visible(text: str) -> str:
    r"""Returns a text with control characters other than line ends and tabs as escapes such as `\x1b`.

    Terminals obey them: a text of the data could set the title of the window, clear it, or hide other lines.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shortened(value: object, length: int = 80) -> str:
    """Returns `str(value)`, with dots in place of what follows the first characters."""
    text = str(value)
    return text if len(text) <= length else text[:length] + "…"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns ' (did you mean "x"?)' for the closest known name, or an empty string; also for very long names."""
    if len(wrong) > _LONGEST_NAME:
        return ""
    names = [name for name in islice(known, _MOST_NAMES) if len(name) <= _LONGEST_NAME]
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


_LONGEST_NAME, _MOST_NAMES = 200, 2000  # difflib is slow


def damaged(what: str, error: ValidationError, remedy: str) -> DataError:
    """Explains in one sentence the error of pydantic for the content of a file that this package wrote."""
    first = error.errors()[0]
    return DataError(f"the {what} is damaged at {'.'.join(map(str, first['loc']))} ({first['msg']})", remedy)


def invalid_setting(error: ValidationError, model: type[BaseModel], owner: str = "") -> RecipeError:
    """Explains the error of pydantic for the key that the user most likely meant, in one sentence.

    Args:
        error: What validating `model` raised.
        model: The model of the keys.
        owner: The thing with the keys, such as "the recipe"; empty for arguments of a function.
    """
    # Within a union, the deepest error belongs to the member that the user most likely meant.
    errors = error.errors(include_url=False)[:_MAX_ERRORS]
    places = [key_path(model, one["loc"]) for one in errors]
    path, problem = max(zip(places, errors, strict=True), key=lambda one: one[0].count("."))
    if problem["type"] == "extra_forbidden":
        known = list(_models_at(model, problem["loc"][:-1])[0].model_fields)
        has = f"{owner} has" if owner else "there is"
        return RecipeError(
            f'{has} an unknown key "{shortened(path)}"' + did_you_mean(str(problem["loc"][-1]), known),
            "choose from " + ", ".join(known),
        )
    if problem["type"].startswith("union_tag"):
        given = str(problem.get("ctx", {}).get("tag", problem["input"]))
        tags = [_tag(kind) for kind in _models_at(model, problem["loc"])]
        return RecipeError(
            f'{owner}\'s {path}.name "{shortened(given)}" is no objective' + did_you_mean(given, tags),
            "choose from " + ", ".join(sorted(tags)),
        )
    same = [one for place, one in zip(places, errors, strict=True) if place == path]
    messages = dict.fromkeys(one["msg"][0].lower() + one["msg"][1:] for one in same)
    allowed = [
        value for one in same for value in re.findall(r"'([^']*)'", one.get("ctx", {}).get("expected", ""))
    ]
    guess = did_you_mean(problem["input"], allowed) if isinstance(problem["input"], str) else ""
    possessive = f"{owner}'s " if owner else ""
    # YAML may have made a value of another type out of a name.
    unquoted = problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float)
    return RecipeError(
        f"{possessive}{path} cannot be {shortened(repr(problem['input']))} ({', or '.join(messages)}){guess}",
        'write names in quotes, such as "no" or "1": without them YAML reads a truth value or a number'
        if unquoted
        else "correct the value",
    )


_MAX_ERRORS = 100  # a list may have a wrong value in each of its many places

# Pydantic's names for the members of a union, which are no keys.
_TYPE = re.compile(r"[^.]*[\[(].*|float|int|str|bool|constrained-\w+")


def key_path(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """Returns the path of a key as the user writes it, from the location that pydantic reports."""
    return ".".join(
        str(part)
        for depth, part in enumerate(location)
        if not _TYPE.fullmatch(str(part))
        and part not in [_tag(kind) for kind in _models_at(model, location[:depth])]
    )


def _models_at(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """The models that a location leads to: several for a union without its tag."""
    models = [model]
    for part in location:
        tagged = [kind for kind in models if _tag(kind) == part]
        fields = [kind.model_fields[str(part)] for kind in models if part in kind.model_fields]
        if tagged:
            models = tagged
        elif fields:
            models = [found for field in fields for found in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _tag(model: type[BaseModel]) -> Any:
    """The `name` by which a union tells its members apart; None for models that are not told apart."""
    name = model.model_fields.get("name")
    return name.default if name is not None and get_origin(name.annotation) is Literal else None
