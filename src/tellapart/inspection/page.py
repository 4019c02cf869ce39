"""HTML pages rendered from templates, Markdown tables, and texts shortened to fit them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tellapart.files import replacing

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


class Bar(NamedTuple):
    """A table cell with a bar behind its text.

    Args:
        text: The text.
        share: Length of the bar as a share of the cell, 0 to 1.
    """

    text: str
    share: float


class Link(NamedTuple):
    """A table cell that is a link within the page.

    Args:
        text: The text.
        target: Where it leads: `#` and a fragment.
    """

    text: str
    target: str


def write_page(
    path: Path | str, template: str, *, script: str | None = None, data: object = None, **values: object
) -> None:
    """Writes a page as a single HTML file without external assets.

    A page has a script only if one is named. Its policy then allows this one, by its SHA-256, and nothing else.

    Args:
        path: The file to write, whole or not at all; characters that UTF-8 cannot encode become question marks.
        template: Its path inside the package, such as `inspection/templates/report.html`.
        script: The path of the page's script inside the package.
        data: JSON values for the script, which reads them from the element `data`.
        **values: The template's variables; the base template needs `title` and `subtitle`.

    Raises:
        OutputError: The file could not be written.
    """
    if script is not None:
        values |= {"script": _script(script), "data": inline_json(data)}
    with replacing(path) as temporary:
        temporary.write_text(render(template, **values), encoding="utf-8", errors="replace")


def render(template: str, **values: object) -> str:
    """Returns a page as `write_page` writes it.

    Args:
        template: Its path inside the package.
        **values: The template's variables; the base template needs `title` and `subtitle`.
    """
    return _environment().get_template(template).render(values)


def inline_json(data: object) -> Markup:
    """Returns data as JSON for a `<script type="application/json">` element.

    No text in it can end the element or begin a comment: `<`, `>` and `&` are written as escapes of JSON.

    Raises:
        ValueError: A number is NaN or infinite, which JSON does not have.
    """
    from markupsafe import Markup

    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(written.translate({ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}))


class _Script(NamedTuple):
    """A script and its SHA-256 in base64, as policies name it."""

    text: Markup
    sha256: str


@cache
def _script(name: str) -> _Script:
    from markupsafe import Markup

    text = (files("tellapart") / name).read_text(encoding="utf-8")
    return _Script(Markup(text), b64encode(sha256(text.encode()).digest()).decode())


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("tellapart", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table, the first column aligned left and the others right.

    Args:
        rows: The header, then the rows; vertical bars in a cell are escaped.
    """
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown_list(sentences: Iterable[str]) -> str:
    """Returns a Markdown list with one item per sentence."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def shorten(text: str, length: int) -> str:
    """Returns the text on one line, truncated at the end to `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def abbreviate(name: str, length: int = 28) -> str:
    """Returns a class name on one line, truncated in the middle to `length` characters.

    Look-alike class names often share their beginning, so the end is kept.
    """
    line = " ".join(name.split())
    if len(line) <= length:
        return line
    end = length // 2
    return line[: length - 1 - end] + "…" + line[-end:]
