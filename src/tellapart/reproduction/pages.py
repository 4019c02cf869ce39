"""The pages of a table that was run again: Markdown for documentation, HTML to read in a browser."""

from __future__ import annotations

from pathlib import Path

from tellapart.files import replacing
from tellapart.inspection.markdown import markdown_list, markdown_table
from tellapart.inspection.page import Html, join, page, section, table, text
from tellapart.reproduction.figures import Reproduction
from tellapart.reproduction.tables import PagePart, reproduction_parts


def reproduction_markdown(result: Reproduction) -> str:
    """Returns the page as Markdown.

    Args:
        result: What to show.
    """
    blocks = [f"# {result.protocol.title}"]
    for part in reproduction_parts(result):
        if part.heading:
            blocks.append(f"## {part.heading}")
        blocks += part.sentences
        if part.rows:
            blocks.append(markdown_table(part.rows))
        if part.points:
            blocks.append(markdown_list(part.points))
    blocks.append(f"```bash\n{result.command}\n```")
    return "\n\n".join(blocks) + "\n"


def write_reproduction_report(path: Path | str, result: Reproduction) -> None:
    """Writes the page as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        result: What to show.

    Raises:
        OutputError: The file could not be written.
    """
    sections = [_section(part) for part in reproduction_parts(result)]
    command = section("Command", Html(f"<pre>{text(result.command)}</pre>"))
    subtitle = " · ".join(filter(None, [result.protocol.paper, result.protocol.table]))
    document = page(result.protocol.title, subtitle or result.table, [*sections, command])
    with replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="replace")


def _section(part: PagePart) -> Html:
    sentences = join(Html(f"<p>{text(sentence)}</p>") for sentence in part.sentences)
    figures = table(part.rows[0], part.rows[1:], unbroken=True) if part.rows else Html("")
    points = join(Html(f"<li>{text(point)}</li>") for point in part.points)
    return section(
        part.heading or "What this is", sentences, figures, Html(f"<ul>{points}</ul>") if points else ""
    )
