"""Markdown and HTML pages of a reproduction: overview, one table per column, missing cells, environment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.evaluation.comparison_tables import ERRORS_AVOIDED, error_reduction_text
from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.inspection.page import markdown_list, markdown_table, write_page
from tellapart.reproduction.figures import CellFigures, ColumnResult, Reproduction
from tellapart.reproduction.protocols import SUBMISSIONS

NOT_RUN = "not run"

FAILED = "failed"
"""Prefix of the reason of a cell that was run and failed."""

FOREIGN = "These are not the rows of the table: the paper's figures beside ours are about other data."

_ROWS_NAMED = 4


@dataclass(frozen=True)
class PagePart:
    """A section of a page.

    Args:
        heading: Empty for the first section.
        sentences: Paragraphs.
        rows: Rows of a table, header first; empty for no table.
        points: Items of a list below the table.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    points: tuple[str, ...] = ()


def reproduction_markdown(result: Reproduction) -> str:
    """Returns the page as Markdown."""
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
    """Writes the page as one HTML file without scripts or external assets; raises `OutputError` if it cannot."""
    subtitle = " · ".join(filter(None, [result.protocol.paper, result.protocol.table]))
    write_page(
        path,
        "reproduction/templates/reproduction.html",
        title=result.protocol.title,
        subtitle=subtitle or result.table,
        parts=reproduction_parts(result),
        command=result.command,
    )


def reproduction_parts(result: Reproduction) -> list[PagePart]:
    """Returns the sections of a page: paper, overview, each column, missing cells, environment."""
    parts = [_what_it_is(result), _overview(result)]
    for column in result.protocol.columns:
        for number, metric in enumerate(result.columns[column].metrics):
            if _has_trials(result.columns[column].metrics[metric]):
                parts.append(_column(result, column, metric, with_data=number == 0))
    return [*parts, _pictures(result), _missing(result), _setting(result)]


def overview_rows(result: Reproduction) -> list[list[str]]:
    """Returns the overview table with `the paper's figure / ours` in each cell.

    Tables of classifiers show the main metric of each column, other tables every metric.
    """
    protocol = result.protocol
    shown = [
        (column, metric)
        for column, its_column in protocol.columns.items()
        for metric in list(its_column.metrics)[: 1 if protocol.measures == "classification" else None]
    ]
    rows = [["", *(_column_name(result, column, metric) for column, metric in shown)]]
    for row, its_row in protocol.rows.items():
        cells = [
            _side_by_side(result, result.columns[column].metrics[metric][row], metric)
            for column, metric in shown
        ]
        rows.append([its_row.name, *cells])
    return rows


def column_rows(result: Reproduction, column: str, metric: str) -> list[list[str]]:
    """Returns the figures of a column: a header, then one row per method."""
    level = f"{100 * result.confidence:g} %"
    figures = result.columns[column].metrics[metric]
    kind = METRICS[metric]
    unseen = any(one.unseen_mean is not None for one in figures.values())
    has_paper = any(one.paper is not None for one in figures.values())
    header = ["", *(["paper"] if has_paper else []), "ours", level, "trials", "against"]
    header += [*(["paper's change"] if has_paper else []), "our change", level]
    avoided = any(error_reduction_text(one.difference) for one in figures.values())
    header += [
        *([ERRORS_AVOIDED] if avoided else []),
        "Holm p",
        "detectable",
        *(["unseen rows"] if unseen else []),
        "seconds",
    ]
    rows = [header]
    for row, one in figures.items():
        pair = one.difference
        baseline = figures[result.protocol.baseline_of(row)]
        change = None if None in (one.paper, baseline.paper) or one is baseline else _change(one, baseline)
        trials = len(one.scores)
        rows.append(
            [
                result.protocol.rows[row].name,
                *([_number(one.paper)] if has_paper else []),
                _ours(result, one, metric),
                kind.display_interval(one.interval),
                str(trials) if not one.missing else f"{trials} of {trials + len(one.missing)}",
                result.protocol.rows[pair.baseline].name if pair else "",
                *(["" if change is None else f"{change:+.2f}"] if has_paper else []),
                kind.display(pair.difference, signed=True) if pair else "",
                kind.display_interval(pair.interval, signed=True) if pair else "",
                *([error_reduction_text(pair)] if avoided else []),
                "" if pair is None or pair.adjusted_p_value is None else f"{pair.adjusted_p_value:.2g}",
                ""
                if pair is None or pair.minimum_detectable_difference is None
                else kind.display(pair.minimum_detectable_difference),
                *(["" if one.unseen_mean is None else kind.display(one.unseen_mean)] if unseen else []),
                "" if one.seconds is None else f"{one.seconds:.1f}",
            ]
        )
    return rows


def _what_it_is(result: Reproduction) -> PagePart:
    protocol = result.protocol
    sentences = []
    if protocol.paper:
        sentences.append(f"{protocol.paper}{', ' + protocol.table if protocol.table else ''}, run again.")
    used = tuple(protocol.used.items())
    return PagePart(
        "",
        tuple(sentences),
        (("", "the paper"), *used) if used else (),
        tuple(protocol.differences),
    )


def _overview(result: Reproduction) -> PagePart:
    seeds = f"Seeds {', '.join(map(str, result.seeds))}."
    what = "the mean over the trials"
    if result.protocol.measures == "classification":
        what += " of each set's main metric"
    if result.protocol.summary == "trimmed":
        what = "the mean without the best and the worst of three or more trials; intervals and differences are over "
        what += "all trials"
    read = "The paper's figure / ours" if result.protocol.figures else "A cell"
    return PagePart("The table", (f"{read}: {what}. {seeds}",), tuple(map(tuple, overview_rows(result))))


def _column(result: Reproduction, column: str, metric: str, *, with_data: bool) -> PagePart:
    figures = result.columns[column].metrics[metric]
    names = result.protocol.rows
    verdicts = [
        f"{names[row].name} against {names[one.difference.baseline].name}: {one.verdict}"
        for row, one in figures.items()
        if one.difference is not None
    ]
    sentences = _data_sentences(result, column, result.columns[column]) if with_data else ()
    seen = max(one.seen_rows for one in figures.values())
    if seen:
        sentences = (
            *sentences,
            f"Up to {seen} evaluated rows have a text that is also in the training rows of a seed; the column "
            "`unseen rows` excludes them.",
        )
    return PagePart(
        _column_name(result, column, metric, full=True),
        sentences,
        tuple(map(tuple, column_rows(result, column, metric))),
        tuple(verdicts),
    )


def _data_sentences(result: Reproduction, column: str, found: ColumnResult) -> tuple[str, ...]:
    its_column, data = result.protocol.columns[column], found.data
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.split_sizes.items())
    parts = [f"Rows of {data.source or its_column.source}: {sizes}; SHA-256 {(data.fingerprint or '')[:16]}."]
    if its_column.stands_in_for:
        other = result.protocol.columns[its_column.stands_in_for].name
        parts.append(f"A stand-in for {other}: the paper's figures are those on {other}.")
    if its_column.note:
        parts.append(its_column.note[0].upper() + its_column.note[1:].rstrip(".") + ".")
    if its_column.submission is not None:
        parts.append(
            "GLUE keeps the labels of its test rows: the paper's figures are those of its server, ours are on the "
            f"{its_column.evaluated} rows. The folder {SUBMISSIONS} has the predictions that the server takes."
        )
    if data.source and result.protocol.figures:
        parts.append(FOREIGN)
    if data.note:
        parts.append(f"Known problems of the published set: {data.note}.")
    if data.known_overlap is None and result.protocol.measures == "classification":
        parts.append("The overlap of its test and training texts has not been counted.")
    return (" ".join(parts),)


def _pictures(result: Reproduction) -> PagePart:
    """Lists the files of the heat maps; pages have no external assets."""
    points = tuple(f"{title}: `{file}`" for title, file in result.pictures.items())
    return PagePart("Label distances", points=points) if points else PagePart("")


def _missing(result: Reproduction) -> PagePart:
    """Lists each reason with its columns and rows, and with the seeds unless it applies to all of them."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for column, its_column in result.protocol.columns.items():
        figures = next(iter(result.columns[column].metrics.values()))
        for reason, rows in _by_reason(result, figures).items():
            named = ", ".join(rows) if len(rows) <= _ROWS_NAMED else f"{len(rows)} of {len(figures)} rows"
            reasons[reason].append(f"{its_column.name} ({named})")
    points = [f"{reason.rstrip('.')}: {'; '.join(columns)}." for reason, columns in reasons.items()]
    return PagePart("Missing cells", points=tuple(points)) if points else PagePart("")


def _by_reason(result: Reproduction, figures: dict[str, CellFigures]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row, one in figures.items():
        seeds: dict[str, list[str]] = defaultdict(list)
        for seed, reason in one.missing.items():
            seeds[reason].append(str(seed))
        for reason, its_seeds in seeds.items():
            some = f", seed {' and '.join(its_seeds)}" if len(its_seeds) < len(result.seeds) else ""
            found[reason].append(result.protocol.rows[row].name + some)
    return found


def _setting(result: Reproduction) -> PagePart:
    used = "; ".join(f"{role}: {encoder}" for role, encoder in result.encoders.items())
    sentences = [f"Encoders here: {used}.", environment_sentence(result.environment)]
    sentences += [f"Some trials: {environment_sentence(one)}" for one in result.other_environments]
    return PagePart("Environment", tuple(sentences))


def environment_sentence(environment: dict[str, Any]) -> str:
    """Returns a sentence with the processor, the device and the versions."""
    return (
        f"Measured on {environment['processor']}, {environment['cores']} cores, device {environment['device']}; "
        f"torch {environment['torch']}, transformers {environment['transformers']}, "
        f"Python {environment['python']}, tellapart {environment['tellapart']}."
    )


def _column_name(result: Reproduction, column: str, metric: str, full: bool = False) -> str:
    its_column = result.protocol.columns[column]
    several = len(its_column.metrics) > 1
    name = its_column.name
    if its_column.stands_in_for:
        name += f" for {result.protocol.columns[its_column.stands_in_for].name}"
    if full:
        return f"{name}: {metric_label(metric)}"
    return f"{name}, {its_column.metrics[metric]}" if several else name


def _side_by_side(result: Reproduction, one: CellFigures, metric: str) -> str:
    ours = _ours(result, one, metric)
    if one.scores and one.missing:
        ours += f" ({len(one.scores)} of {len(one.scores) + len(one.missing)} trials)"
    return f"{_number(one.paper) or '–'} / {ours}" if result.protocol.figures else ours


def _ours(result: Reproduction, one: CellFigures, metric: str) -> str:
    if one.mean is not None:
        return METRICS[metric].display(_stands_for(result, one))
    return FAILED if any(reason.startswith(FAILED) for reason in one.missing.values()) else NOT_RUN


def _stands_for(result: Reproduction, one: CellFigures) -> float:
    trimmed = one.trimmed_mean if result.protocol.summary == "trimmed" else None
    value = one.mean if trimmed is None else trimmed
    assert value is not None
    return value


def _change(one: CellFigures, baseline: CellFigures) -> float:
    assert one.paper is not None
    assert baseline.paper is not None
    return one.paper - baseline.paper


def _has_trials(figures: dict[str, CellFigures]) -> bool:
    return any(one.scores for one in figures.values())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
