"""Notes and errors on stderr, one line each."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import TextIO

from tellapart.errors import MOST_CHARACTERS, TellapartError, TellapartWarning, readable, visible

INTERRUPTED = 130

# A path that the user gave cannot be used, whatever read or wrote it.
_NO_PLACE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


@contextlib.contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Prints each `TellapartWarning` once as `note: …`; other warnings as usual."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_note(message: Warning | str, category: type[Warning], *where: object) -> None:
            if issubclass(category, TellapartWarning):
                print_notes([str(message)])
            else:
                show(message, category, *where)  # type: ignore[arg-type]

        warnings.simplefilter("default", TellapartWarning)
        warnings.showwarning = show_note  # type: ignore[assignment]
        yield


@contextlib.contextmanager
def failures_in_one_line(debug: bool) -> Iterator[None]:
    """Turns exceptions into one line on stderr and an exit code.

    Args:
        debug: Whether to print the traceback too.

    Raises:
        SystemExit: For every exception; a SystemExit passes through.
    """
    try:
        yield
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has already caught the KeyboardInterrupt
            print(
                "interrupted: train, compare, reproduce, sweep, pretrain and predict (parts) resume with --resume.",
                file=sys.stderr,
            )
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        sentence, exit_code = _explained(error)
        print("error: " + _one_line(sentence), file=sys.stderr)
        raise SystemExit(exit_code) from None


def print_notes(notes: Iterable[str]) -> None:
    """Prints sentences to stderr, one line each."""
    for note in notes:
        print("note: " + _one_line(note), file=sys.stderr)


def echo(text: object = "", *, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Prints a text as `print` does, with control characters, which data may have, as visible escapes."""
    print(visible(str(text)), end=end, file=file, flush=flush)


class NotesOnce:
    """Prints notes as they become known, each of them once.

    Args:
        quiet: Whether to print none.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.notes: list[str] = []

    def __call__(self, notes: Iterable[str]) -> None:
        """Prints those that are new."""
        new = [note for note in dict.fromkeys(notes) if note not in self.notes]
        self.notes += new
        if not self.quiet:
            print_notes(new)


def _explained(error: Exception) -> tuple[str, int]:
    """Returns the message and the exit code of an exception."""
    if isinstance(error, TellapartError):
        return str(error), error.exit_code
    text = str(error).lower()
    # Libraries in Rust and C++ raise exceptions of their own for both conditions; only the text tells.
    if getattr(error, "errno", None) == errno.ENOSPC or "no space left on device" in text:
        return "the disk is full: free some space, or write elsewhere with --output.", 2
    if isinstance(error, OSError) and error.filename is not None and error.errno in _NO_PLACE:
        permitted = error.errno not in (errno.EACCES, errno.EPERM)
        remedy = "choose another place" if permitted else "change its permissions, or choose another place"
        return f"{error.filename} cannot be read or written ({error.strerror}): {remedy}.", 2
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
        return "out of memory: lower --batch-size or --max-length.", 1
    return f"{type(error).__name__}: {error}: run again with --debug for the traceback.", 1


def _one_line(text: str) -> str:
    return visible(readable(" ".join(text.split()), 2 * MOST_CHARACTERS + 50))  # a cause and a remedy
