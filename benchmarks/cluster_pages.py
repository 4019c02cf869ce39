"""The page on comparisons and scoring on a Ray cluster, from benchmarks/results/cluster.json."""

from __future__ import annotations

import json

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "A cluster of two nodes on one machine"

_PLACES = {"here": "one after the other", "jobs": "`--jobs 2`", "ray": "`--on HOST:PORT`, two nodes"}


def cluster_page() -> str:
    """Returns the page as Markdown."""
    results = json.loads((RESULTS / "cluster.json").read_text(encoding="utf-8"))
    compared, killed, predicted, exhausted = (
        results[event] for event in ("compare", "kill", "predict", "memory")
    )
    cells = compared["here"]["cells"]
    rows = [["runs", "cells", "equal to those one after the other", "seconds", "overhead per cell (s)"]]
    rows += [
        [
            words,
            str(cells),
            "" if name == "here" else f"{compared[name]['equal_cells']} of {cells}",
            f"{compared[name]['seconds']:.1f}",
            f"{compared[name]['overhead_seconds_per_cell']:.2f}",
        ]
        for name, words in _PLACES.items()
    ]
    scored = [["", "rows", "parts", "seconds"]]
    scored += [
        [
            words,
            f"{predicted['written_rows'][name]:,}",
            str(predicted["parts"]),
            f"{predicted['seconds'][name]:.0f}",
        ]
        for name, words in (("here", "one process"), ("ray", "two nodes, a process of one killed"))
    ]
    repeated = ", ".join(killed["repeated"])
    same = "equal" if predicted["equal_checksum"] else "not equal"
    return "\n\n".join(
        [
            f"# {TITLE}",
            f"Three methods with four seeds on TREC, {cells} cells with one thread each. Cells are equal if their "
            "trial files are, but for times and the description of the machine. The overhead is the time on the "
            "clock, twice that where two run at a time, less the time that the cells report of themselves, per cell: "
            "it includes the start of the processes and of the report.",
            markdown_table(rows),
            "## A node is killed",
            f"One of the two nodes was killed after three cells: {killed['finished_cells']} of {killed['cells']} "
            f"cells are there, {killed['equal_cells']} of them equal to those of an undisturbed run. "
            f"{killed['started']} were started; started again was {repeated or 'none'}.",
            "## A process that scores is killed",
            f"{predicted['rows']:,} rows scored by a TF-IDF model. {predicted['equal_parts']} of "
            f"{predicted['parts']} parts have the same bytes, and the checksums of all rows are {same}.",
            markdown_table(scored),
            *([predicted["remark"]] if "remark" in predicted else []),
            "## A node runs out of memory",
            f"Three tasks on a node with 3 GiB of free memory, of which the second takes up to 6 GiB: Ray ended it, "
            f"and tellapart says “{exhausted['reasons'][0]}”. "
            f"{sum(map(bool, exhausted['taken_bytes']))} of {len(exhausted['taken_bytes'])} tasks finished.",
            "```bash\npython benchmarks/cluster.py compare\npython benchmarks/cluster.py kill\n"
            f"python benchmarks/cluster.py predict --rows {predicted['rows']}\n"
            "python benchmarks/cluster.py memory\n```",
            environment_sentence(compared["environment"]) + " JSON: `benchmarks/results/cluster.json`.",
        ]
    )
