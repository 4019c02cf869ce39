"""Pages of a reproduced table, as Markdown and as HTML."""

from __future__ import annotations

from pathlib import Path

from tellapart.inspection.page import markdown_list, markdown_table, write_page
from tellapart.reproduction.figures import Reproduction
from tellapart.reproduction.tables import reproduction_parts


def reproduction_markdown(result: Reproduction) -> str:
    """Returns the page as Markdown.

    Args:
        result: The reproduced table.
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
    """Writes the page as HTML.

    Args:
        path: The file to write.
        result: The reproduced table.

    Raises:
        OutputError: The file could not be written.
    """
    subtitle = " · ".join(filter(None, [result.protocol.paper, result.protocol.table]))
    write_page(
        path,
        "reproduction/templates/reproduction.html",
        title=result.protocol.title,
        subtitle=subtitle or result.table,
        parts=reproduction_parts(result),
        command=result.command,
    )
