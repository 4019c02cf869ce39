"""One HTML page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup that this package made. Whatever is not `Html` is escaped before it reaches a page."""

    __slots__ = ()


class Cell(Html):
    """A whole table cell."""

    __slots__ = ()


def text(value: object) -> Html:
    """Returns `value` as markup: `Html` as it is, anything else escaped."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Returns the parts as one piece of markup, those that are not `Html` escaped."""
    return Html(separator.join(text(part) for part in parts))


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, unbroken: bool = False) -> Html:
    """Returns a table whose first column is text and whose other columns are figures.

    Args:
        header: A name for each column.
        rows: Cells.
        unbroken: Whether each figure, an interval too, stays on one line; the table may be wider than the page then.
    """
    head = join(Html(f"<th>{text(cell)}</th>") for cell in header)
    body = join(
        Html(
            f"<tr>{join(cell if isinstance(cell, Cell) else Html(f'<td>{text(cell)}</td>') for cell in row)}</tr>\n"
        )
        for row in rows
    )
    kind = "wide unbroken" if unbroken else "wide"
    return Html(
        f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def bar_cell(value: object, share: float) -> Cell:
    """Returns a table cell with a bar behind its figure, as long as `share` (0 to 1) of the cell."""
    return Cell(f'<td class="bar" style="--share:{100 * min(max(share, 0.0), 1.0):.1f}%">{text(value)}</td>')


def cards(values: Iterable[tuple[object, object]]) -> Html:
    """Returns figures with their names, side by side, the first one larger."""
    return Html(
        '<dl class="cards">'
        + join(Html(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>") for name, value in values)
        + "</dl>"
    )


def section(heading: str, *content: object, note: object = "") -> Html:
    """Returns a headed part of a page; an empty one, where no content has any length, is left out."""
    body = join(content)
    if not body:
        return Html("")
    hint = Html(f'<p class="note">{text(note)}</p>') if note else ""
    return Html(f"<section><h2>{text(heading)}</h2>{hint}{body}</section>\n")


def page(title: str, subtitle: object, sections: Iterable[Html]) -> str:
    """Returns a whole HTML document."""
    return _PAGE.format(title=text(title), subtitle=text(subtitle), style=_STYLE, body=join(sections))


# The policy forbids what the page does not have anyway: even a text that slipped through could load nothing.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1 dir="auto">{title}</h1><p class="note">{subtitle}</p></header>
<main>
{body}</main>
</body>
</html>
"""

_STYLE = """
:root { --paper: #f7f8fa; --card: #ffffff; --ink: #1f2933; --muted: #667380; --line: #e2e6ea;
  --hit: #2171b5; --miss: #d55e00; --soft: #dbe9f6; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --card: #1c2229; --ink: #e4e8ec;
  --muted: #95a1ad; --line: #2f3842; --hit: #6baed6; --miss: #ff9a4d; --soft: #24425f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.25rem 5rem; background: var(--paper);
  color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: break-word; }
h1 { margin: 0 0 .5rem; font-size: 1.75rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 0 0 .6rem; font-size: 1.15rem; }
.note { margin: -.2rem 0 .9rem; color: var(--muted); font-size: .9rem; }
section { margin-top: 1.25rem; padding: 1.25rem 1.4rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
ul { margin: 0; padding-left: 1.2rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .75rem 1.5rem;
  margin: 0; align-items: end; }
.cards dt { color: var(--muted); font-size: .82rem; }
.cards dd { margin: 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.cards div:first-child dd { font-size: 2.1rem; line-height: 1.2; color: var(--hit); }
.wide { overflow-x: auto; }
.unbroken td { white-space: nowrap; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { padding: .35rem .7rem; color: var(--muted); font-size: .82rem; font-weight: 500;
  border-bottom: 1px solid var(--line); vertical-align: bottom; }
td { padding: .32rem .7rem; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
th, td { text-align: right; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
td.bar { width: 7.5rem; min-width: 7.5rem; background: no-repeat .35rem 50% / calc(100% - .7rem) 74%
  linear-gradient(to right, var(--soft) var(--share), transparent 0); }
details > summary { cursor: pointer; color: var(--muted); }
pre { overflow-x: auto; margin: .6rem 0 0; font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 1.25rem; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .88rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 11px; }
svg .name { fill: var(--ink); }
svg .axis { stroke: var(--line); }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.hit { fill: var(--hit); stroke: var(--hit); } .miss { fill: var(--miss); stroke: var(--miss); }
svg text.hit, svg text.miss { stroke: none; }
svg text.hit { fill: var(--hit); } svg text.miss { fill: var(--miss); }
svg .cell { stroke: none; } svg .empty { fill: var(--muted); fill-opacity: .05; stroke: none; }
.errors { margin: 0; padding: 0; list-style: none; }
.errors li { padding: .7rem 0; border-bottom: 1px solid var(--line); }
.errors li:last-child { border-bottom: 0; padding-bottom: 0; }
.errors blockquote { margin: 0 0 .3rem; }
.errors blockquote + blockquote { color: var(--muted); }
.labels { font-size: .86rem; color: var(--muted); }
.label { padding: .05rem .5rem; border-radius: 99px; background: var(--soft); color: var(--ink); }
.label.wrong { background: none; box-shadow: inset 0 0 0 1px var(--miss); color: var(--miss); }
.pair + .pair { margin-top: 1rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.pair h3 { margin: 0; font-size: 1rem; } .pair .errors { margin: 0 0 0 .9rem; } .pair .note { margin: 0; }
@media print { section { break-inside: avoid; } }
"""
