"""What the user sees on stderr beside the result: notes and errors, one line each."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator

from tellapart.errors import TellapartError, TellapartWarning

INTERRUPTED = 130


@contextlib.contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Shows each `TellapartWarning` once as `note: …`; other warnings as Python does."""
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
        SystemExit: For every exception; its own ones pass through.
    """
    try:
        yield
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has swallowed the KeyboardInterrupt by now
            print(
                "interrupted: train, compare, reproduce, sweep and pretrain go on where they were with --resume.",
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


def _explained(error: Exception) -> tuple[str, int]:
    """Returns the sentence for an exception, and what to exit with."""
    if isinstance(error, TellapartError):
        return str(error), error.exit_code
    text = str(error).lower()
    # Libraries in Rust and C++ report both conditions as exceptions of their own, told apart by the text only.
    if getattr(error, "errno", None) == errno.ENOSPC or "no space left on device" in text:
        return "the disk is full: free some space, or write elsewhere with --output.", 2
    if isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text:
        return "the memory does not suffice: lower --batch-size or --max-length.", 1
    return f"{type(error).__name__}: {error}: run again with --debug for the traceback.", 1


def _one_line(text: str) -> str:
    return " ".join(text.split())
