"""What is known of a benchmark set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.originals import OriginalFiles, PublishersSource
from tellapart.data.benchmarks.wheels import WheelSource
from tellapart.data.reading.hub import HubSource


@dataclass(frozen=True)
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
    license: str
    citation: str
    note: str = ""
    overlap: int | None = None
    originals: tuple[OriginalFiles, ...] = ()
    metric: str | None = None
    positive: str | None = None
