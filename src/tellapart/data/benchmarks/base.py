"""Benchmark sets: their descriptions, and their files as their publishers hand them out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.wheels import WheelSource
from tellapart.data.reading.hub import HubSource
from tellapart.errors import DataError
from tellapart.plain_yaml import parse_yaml


class Reader(Protocol):
    """Reads a file as a table with the columns `text`, `text_pair`, `label` or `labels`, `question_id`."""

    def read(self, path: Path) -> pa.Table:
        """Reads a file.

        Raises:
            DataError: The content is invalid; the message names the line if there is one.
        """


@dataclass(frozen=True)
class OriginalFiles:
    """One of the forms in which the files of a set are published.

    Args:
        patterns: Glob patterns of each split's file below the set's folder; the first match counts. A pattern may
            match a folder if the reader takes one.
        reader: Reads such a file.
        description: Name of the files in messages and documentation; by default their patterns.
    """

    patterns: Mapping[str, tuple[str, ...]]
    reader: Reader
    description: str = ""

    @classmethod
    def named(cls, reader: Reader, description: str = "", **files: str) -> OriginalFiles:
        """Returns a form with one file for each split, given as `split=name`, in any folder below the set's."""
        return cls({split: (f"**/{file}",) for split, file in files.items()}, reader, description)

    def __str__(self) -> str:
        """Returns the names of the files, one per split."""
        return self.description or ", ".join(
            patterns[0].removeprefix("**/").rstrip("*") for patterns in self.patterns.values()
        )

    def find(self, folder: Path) -> dict[str, Path]:
        """Returns the files found, by split.

        Raises:
            DataError: A pattern matches two files.
        """
        found = {split: _first_match(folder, split, patterns) for split, patterns in self.patterns.items()}
        return {split: path for split, path in found.items() if path is not None}


@dataclass(frozen=True)
class PublishersSource:
    """A set that users must download themselves.

    Args:
        address: Web page of its publishers.
        how: How to get the set there, as a clause: `it is handed out on application`.
    """

    address: str
    how: str

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, kw_only=True)
class BenchmarkSet:
    """A benchmark set that can be given by name.

    Args:
        name: Its name on the command line.
        task: `single label`, `multi-label`, `pair`, `ranking` or `regression`.
        description: Content of the rows and classes.
        classes: Number of classes; 0 for regression.
        sizes: Number of labelled rows of each split.
        source: Where to download it.
        license: Licence as stated by its publishers.
        citation: Publication to cite.
        note: Anything that distorts results, such as texts in two splits; may be empty.
        overlap: Number of test texts (validation texts, if no test labels are published) that are also in train,
            verbatim; None if not counted. Also stated in the note.
        originals: The forms in which it is published, for users who have the files.
        metric: Its usual metric, a name in `tellapart.evaluation.metrics.METRICS`; None for the main metric of its
            task.
        positive: The class whose F1 is reported in a binary task; it becomes the second class.
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


@functools.cache
def _descriptions() -> dict[str, dict[str, Any]]:
    text = resources.files("tellapart.data.benchmarks").joinpath("sets.yaml").read_text(encoding="utf-8")
    return parse_yaml(text, "sets.yaml")


def described_set(name: str, **content: Any) -> BenchmarkSet:
    """Returns a set whose description is in `sets.yaml`; `content` are its source and its published files."""
    return BenchmarkSet(name=name, **_descriptions()[name], **content)


def original_tables(folder: Path, forms: tuple[OriginalFiles, ...]) -> dict[str, pa.Table]:
    """Reads a folder with the published files of a set.

    Args:
        folder: The folder.
        forms: The forms in which the set is published; the first one found is read.

    Returns:
        One table per split; empty if no form was found.

    Raises:
        DataError: A file is invalid, or a split has two files.
    """
    for form in forms:
        files = form.find(folder)
        if files:
            tables = {split: form.reader.read(path) for split, path in files.items()}
            if "train" in tables and not {"label", "labels"} & {*tables["train"].column_names}:
                raise DataError(f"{files['train']} has no labels", "give the file as published")
            return tables
    return {}


def _first_match(folder: Path, split: str, patterns: tuple[str, ...]) -> Path | None:
    for pattern in patterns:
        matches = sorted(folder.glob(pattern))
        if len(matches) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in matches[:2])
            raise DataError(f"{folder} has two files for {split}: {names}", "keep only one")
        if matches:
            return matches[0]
    return None
