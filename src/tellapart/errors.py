"""Exceptions and warnings; every exception takes a cause and a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}: {remedy}.")


class UserError(TellapartError, ValueError):
    """Invalid input: a file, a column, an option, a value."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as they are."""


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
    """

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed",
            f"pip install 'tellapart[{extra}]'" if extra else f"pip install {package}",
        )


class OutputError(TellapartError, OSError):
    """Results cannot be written, for example to a full disk or without permission."""

    exit_code = 2


class TellapartWarning(UserWarning):
    """A problem that does not stop the run."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns ' (did you mean "x"?)' for the closest known name, or an empty string."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
