"""What tellapart says when something is wrong: the cause, then the remedy, and no traceback for a user's mistake.

The texts stand where the condition is found; this file holds the kinds. Every kind asks for both halves, so
that no message can leave out what the user can do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TellapartError(Exception):
    """Base of everything tellapart raises on purpose.

    Args:
        cause: What is wrong, as one clause without a final full stop: names the file, column or value.
        remedy: What the user can do, as one clause without a final full stop.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"{cause}: {remedy}.")


class UserError(TellapartError, ValueError):
    """A mistake in what the user gave: a file, a column, an option, a value."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as they are."""


class RecipeError(UserError):
    """A recipe or an option does not describe a run."""


class ModelError(UserError):
    """An encoder or a saved model cannot be used as it is."""


class MissingDependencyError(UserError):
    """An optional package is not installed.

    Args:
        package: Its name.
        extra: The extra of tellapart that has it; None where the package itself has to be asked for.
        purpose: What needs it.
    """

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed",
            f"pip install 'tellapart[{extra}]'" if extra else f"pip install {package}",
        )


class OutputError(TellapartError, OSError):
    """The results could not be written: a full disk, a folder without write permission."""

    exit_code = 2


class TellapartWarning(UserWarning):
    """Something the user should know of that does not stop the run."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns ' (did you mean "x"?)' for the closest known name, or an empty string."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
