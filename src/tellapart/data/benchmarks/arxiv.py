"""Downloads arXiv abstracts with their categories, day by day, resumable."""

from __future__ import annotations

import json
import re
import time
import warnings
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from tqdm.auto import tqdm

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.values import examples_table
from tellapart.data.splits import complete_splits
from tellapart.errors import DataError, MissingDependencyError, TellapartWarning, UserError, did_you_mean
from tellapart.files import cache_folder, replacing

if TYPE_CHECKING:
    import arxiv

ARCHIVES = ("astro-ph", "cond-mat", "cs", "econ", "eess", "math", "nlin", "physics", "q-bio", "q-fin", "stat")
"""The archives that are divided into several categories."""

PAGE_SIZE = 500
"""Papers per response; arXiv allows 2,000, but large requests fail more often."""

DELAY_SECONDS = 3.0
"""Delay between two requests, as required by arXiv's terms of use."""

TRIES = 4
"""Attempts per page before the download stops."""


@dataclass(frozen=True)
class ArxivSource:
    """The papers submitted to an arXiv archive within a range of days.

    Made like the set of Ohashi et al. 2020 (Text Classification with Negative Supervision, §3.2): the text is the
    abstract with its line breaks, the labels are all categories of the archive that the paper has. Papers of other
    archives that are cross-listed are included. 20 % of the papers are test rows, 20 % of the rest validation rows.

    Args:
        archive: One of `ARCHIVES`.
        first: The first day, `2019-06-04`, or a month, `2019-06`, by the time of a paper's first version in UTC.
        last: The last day, inclusive, or a month.
        seed: Seed of the split.

    Raises:
        UserError: There is no such archive, the days are in the wrong order, or the last day is not over.
    """

    archive: str
    first: str
    last: str
    seed: int = 0

    def __post_init__(self) -> None:
        if self.archive not in ARCHIVES:
            raise UserError(
                f'"{self.archive}" is not an archive with several categories{did_you_mean(self.archive, ARCHIVES)}',
                f"choose one of {', '.join(ARCHIVES)}",
            )
        first, last = self._range()
        if first > last:
            raise UserError(f"{first} comes after {last}", "give the earlier day first")
        if last >= datetime.now(UTC).date():
            raise UserError(f"{last} is not over yet", "give an earlier day")

    def __str__(self) -> str:
        first, last = self._range()
        return f"arXiv {self.archive}, {first} to {last}"

    @property
    def name(self) -> str:
        """A name for the set: `arxiv-cs-2019-01-01-2019-06-04-seed0`."""
        first, last = self._range()
        return f"arxiv-{self.archive}-{first}-{last}-seed{self.seed}"

    def tables(self) -> dict[str, pa.Table]:
        """Downloads the papers and splits them; the columns are `text`, `labels` and `id`.

        Complete days are cached, so that an interrupted download can be resumed and overlapping ranges share days.

        Raises:
            DataError: arXiv could not be reached, or there are too few papers to split.
            MissingDependencyError: The package arxiv is not installed.
        """
        papers = {paper["id"]: paper for paper in self._papers()}  # two days may both have a paper
        labels = {name: self._labels(paper) for name, paper in papers.items()}
        kept = [name for name in papers if labels[name] and papers[name]["abstract"]]
        if not kept:
            raise DataError(f"there are no papers in {self}", "give other days")
        rows = TextSplit(
            texts=[papers[name]["abstract"] for name in kept],
            labels=[labels[name] for name in kept],
            question_ids=kept,  # one group per paper, to keep its id through the split
        )
        classes = LabelSpace(
            tuple(sorted({label for names in labels.values() for label in names})),
            "multi_label_classification",
        )
        whole = TextData(train=rows, validation=None, test=None, labels=classes)
        data = complete_splits(whole, validation_share=0.2, test_share=0.2, seed=self.seed)
        if len(data.splits) < 3:
            raise DataError(
                f"there are only {len(kept)} papers in {self}, too few to split", "give more days"
            )
        return {
            name: examples_table(split).rename_columns({"question_id": "id"})
            for name, split in data.splits.items()
        }

    def _labels(self, paper: dict[str, Any]) -> list[str]:
        """Returns a paper's categories in the archive; papers also have others."""
        return [name for name in paper["categories"] if name.startswith(f"{self.archive}.")]

    def _range(self) -> tuple[date, date]:
        return _day(self.first, last=False), _day(self.last, last=True)

    def _papers(self) -> Iterator[dict[str, Any]]:
        first, last = self._range()
        days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
        folder = cache_folder() / "arxiv-days" / self.archive
        files = {day: folder / f"{day}.jsonl" for day in days}
        client = None if all(file.is_file() for file in files.values()) else _client()
        empty = []
        for day, file in tqdm(files.items(), desc=str(self), unit="day", leave=False, disable=None):
            if client is not None and not file.is_file():
                _write_day(file, _ask(client, self.archive, day))
            if file.is_file():
                yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())
            else:
                empty.append(day)
        if empty:
            warnings.warn(
                f"arXiv returned no papers for {len(empty)} of {len(days)} days, the first is {empty[0]}.",
                TellapartWarning,
                stacklevel=2,
            )


def _day(written: str, *, last: bool) -> date:
    found = re.fullmatch(r"(\d{4})-(\d{2})(?:-(\d{2}))?", written)
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part or 0) for part in found.groups())
        return date(year, month, day or (monthrange(year, month)[1] if last else 1))
    except ValueError:  # of date too, for a month 13
        raise UserError(f'"{written}" is not a day or month', "write 2019-06 or 2019-06-04") from None


def _client() -> arxiv.Client:
    try:
        import arxiv
    except ImportError:
        raise MissingDependencyError("arxiv", "arxiv", "fetching from arXiv") from None
    return arxiv.Client(page_size=PAGE_SIZE, delay_seconds=DELAY_SECONDS, num_retries=TRIES - 1)


def _ask(client: arxiv.Client, archive: str, day: date) -> list[dict[str, Any]]:
    """Downloads the papers of a day in the order of submission."""
    import arxiv

    search = arxiv.Search(
        query=f"cat:{archive}.* AND submittedDate:[{day:%Y%m%d}0000 TO {day:%Y%m%d}2359]",
        max_results=None,
        sort_by=arxiv.SortCriterion.SubmittedDate,
        sort_order=arxiv.SortOrder.Ascending,
    )
    try:
        # arXiv sometimes returns no papers by mistake; the client retries only for later pages
        for last_try in (False, True):
            papers = [*client.results(search)]
            if papers or last_try:
                break
            time.sleep(DELAY_SECONDS)
    except (arxiv.ArxivError, OSError) as error:  # what requests raises is an OSError
        raise DataError(
            f"the papers of {day} could not be downloaded from arXiv ({error})",
            "run the same command later: it resumes there",
        ) from error
    return [
        {
            "id": re.sub(r"v\d+$", "", paper.get_short_id()),
            "submitted": paper.published.isoformat(),
            "title": paper.title,
            "abstract": paper.summary.strip(),
            "categories": paper.categories,
        }
        for paper in papers
    ]


def _write_day(file: Path, papers: list[dict[str, Any]]) -> None:
    """Writes a day's file atomically; days without papers get none, so that they are requested again."""
    if papers:
        with replacing(file) as temporary:
            lines = (json.dumps(paper) + "\n" for paper in papers)
            temporary.write_text("".join(lines), encoding="utf-8")
