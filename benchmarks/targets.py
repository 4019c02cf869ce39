"""Targets of speed and memory, and whether the measured results reach them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import target_readers as reading
from target_readers import Result


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Args:
        what: What is measured.
        against: What it is compared with.
        goal: The ratio to reach.
        file: The JSON in benchmarks/results.
        read: Reads the ratio from the JSON, and a remark about it.
        at_most: Whether lower is better.
        unit: Of the ratio: `×`; `%`, for a share; or `points` of accuracy.
        accuracy: Reads the accuracy of both sides from the JSON, 0 to 1.
        why: The reason for missing the goal, as far as it is known.
        stock: Whether the other side is a stock tool; such rows are in the README too.
    """

    what: str
    against: str
    goal: float
    file: str
    read: Callable[[Result], tuple[float, str]]
    at_most: bool = False
    unit: str = "×"
    accuracy: Callable[[Result], tuple[float, float]] | None = None
    why: str = ""
    stock: bool = False

    def formatted(self, value: float) -> str:
        """The ratio as shown in the table."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        if self.unit == "points":
            return f"{value:+.2f} points"
        return f"{value:.3f}×" if self.at_most else f"{value:.2f}×"

    def measured(self, folder: Path) -> tuple[float, str, tuple[float, float] | None] | None:
        """The ratio, a remark and both accuracies; None without a JSON file or if a peer was not installed."""
        path = folder / self.file
        if not path.is_file():
            return None
        result = json.loads(path.read_text(encoding="utf-8"))
        try:
            return *self.read(result), self.accuracy(result) if self.accuracy else None
        except KeyError:
            return None

    def processor(self, folder: Path) -> str:
        """The processor of the measurement, as its JSON names it; `–` if it does not."""
        result = json.loads((folder / self.file).read_text(encoding="utf-8"))
        named = result.get("environment", {}).get("processor", "–")
        name, _, instructions = named.replace("(R)", "").partition(" (")
        return f"{name}, AMX" if "amx" in instructions else name

    def met(self, value: float) -> bool:
        """Whether the ratio reaches the goal."""
        return value <= self.goal if self.at_most else value >= self.goal


def _training(data: str, words: str, goal: float, why: str = "") -> Target:
    def ratio(result: Result) -> tuple[float, str]:
        return result["median_ratio"], f"{result['rows']['train']:,} texts; median of {len(result['ratios'])}"

    return Target(
        f"fine-tuning MiniLM, {words}, one epoch",
        "`transformers.Trainer`, its defaults",
        goal,
        f"training_speed-{data}.json",
        ratio,
        accuracy=reading.both("tellapart", "stock"),
        why=why,
        stock=True,
    )


def _scoring(
    what: str,
    peer: str,
    goal: float,
    fast: str,
    slow: str,
    file: str = "scoring_speed.json",
    why: str = "",
    stock: bool = True,
) -> Target:
    name = f"{fast} against {slow}"

    def accuracy(result: Result) -> tuple[float, float]:
        both = result["compared"][name]["accuracy"]
        return both[fast], both[slow]

    return Target(what, peer, goal, file, reading.compared(name), accuracy=accuracy, why=why, stock=stock)


def _tokenising(what: str, against: str, goal: float, name: str, *, at_most: bool = False) -> Target:
    return Target(what, against, goal, "tokenising_speed.json", reading.compared(name), at_most=at_most)


_SHARED = "shared_machine-gnu.json"


_SHORT = (
    "Batches of 32 short questions have small matrix products, which run below the processor's peak, and the rest of "
    "a step consists of many small operations. benchmarks/LOG.md lists the attempts to improve it."
)
_LONG = (
    "Products are about two thirds of a step of long texts (benchmarks/LOG.md, profiled on another processor): the "
    "ratio follows the processor's rates in bf16 and in float32."
)
_SAMPLING = ("negative-supervision", "negative-supervision-am", "negative-supervision-ace")

TARGETS = (
    _training("r8", "R8 at 128 tokens", 4.0, _LONG),
    _training("trec6", "TREC", 3.5, _SHORT),
    _training("banking77", "banking77", 5.5, _SHORT),
    *(
        Target(
            f"fine-tuning MiniLM, {words}, one epoch",
            "`transformers.Trainer` with bf16 and batches of similar length",
            1.7,
            f"training_speed-{data}.json",
            reading.against("expert"),
            accuracy=reading.both("tellapart", "expert"),
            why="With these settings both sides compute the same products in bf16, with little padding; dropout, the "
            "embedding table and the optimiser are what is left to save.",
            stock=True,
        )
        for data, words in (("r8", "R8 at 128 tokens"), ("trec6", "TREC"), ("banking77", "banking77"))
    ),
    Target(
        "time to the accuracy of SetFit, banking77, 8 texts per class",
        "SetFit 1.2, 1,000 steps of 16",
        50.0,
        "few_shot_speed-banking77.json",
        reading.median,
        accuracy=reading.few_shot(lambda run, peer: run["accuracy"] >= peer["accuracy"], first=True),
        stock=True,
    ),
    Target(
        "accuracy in SetFit's time, banking77, 8 texts per class",
        "SetFit 1.2, 1,000 steps of 16",
        3.0,
        "few_shot_speed-banking77.json",
        lambda result: (result["median_points"], reading.of(result["points"])),
        unit="points",
        accuracy=reading.few_shot(lambda run, peer: run["seconds"] <= peer["seconds"], first=False),
        stock=True,
    ),
    *(
        Target(
            f"processor time to the accuracy of SetFit, {words}",
            "SetFit 1.2, 1,000 steps of 16",
            50.0,
            "gains/peers.json",
            reading.peer_times(data),
            accuracy=reading.peer_accuracies(data),
            stock=True,
        )
        for data, words in (
            ("banking77-5", "banking77, 5 texts per class"),
            ("trec6", "TREC, 20 per class"),
            ("cr", "CR, 50 per class"),
        )
    ),
    *(
        Target(
            f"`tellapart train{option}`, the whole command, banking77, 5 texts per class",
            "SetFit's whole script, 1,000 steps of 16",
            goal,
            "whole_command.json",
            reading.whole(method),
            accuracy=reading.beside_setfit(method),
            stock=True,
        )
        for method, option, goal in (
            ("cross-entropy", "", 10.0),
            ("contrast", " --method contrast", 1.0),  # set after the measurement: no slower than SetFit
        )
    ),
    *(
        target
        for data, words in (("r8", "R8"), ("banking77", "banking77"))
        for target in (
            Target(
                f"a step of AAN, AM, ACE, {words}",
                "our cross entropy",
                1.03,
                f"objective_overhead-{data}.json",
                reading.worst(*_SAMPLING),
                at_most=True,
            ),
            Target(
                f"a step of CLLD, R-Drop (two views), {words}",
                "our cross entropy",
                1.9,
                f"objective_overhead-{data}.json",
                reading.worst("label-distance", "r-drop"),
                at_most=True,
                why="Two views are two complete passes; only the optimiser step is shared, and the longer the texts, "
                "the smaller its share.",
            ),
            Target(
                f"the same with views that part at layer 3 of 6, {words}",
                "our cross entropy",
                {"r8": 1.5, "banking77": 1.35}[data],
                f"objective_overhead-{data}.json",
                reading.worst("label-distance, views from layer 3", "r-drop, views from layer 3"),
                at_most=True,
            ),
        )
    ),
    Target(
        "an epoch of the second stage of two, R8",
        "an epoch of the first",
        0.01,
        "second_stage-r8.json",
        reading.entry("shares", "an epoch of AdamW, of an epoch of the first"),
        at_most=True,
    ),
    _scoring(
        "scoring texts of mixed length from a file",
        '`pipeline("text-classification")`, batches of 32',
        4.0,
        "tellapart",
        "pipeline",
    ),
    _scoring(
        "the same",
        "sentence-transformers' `encode` and a linear layer",
        1.6,
        "tellapart",
        "sentence-transformers",
    ),
    _scoring(
        "the same, int8 in ONNX Runtime",
        "our scoring with PyTorch",
        1.3,
        "int8",
        "tellapart",
        "scoring_speed-int8.json",
        "On processors with native bf16, scoring with PyTorch uses it: int8 is compared with bf16, not with float32. "
        "ONNX Runtime quantises only the matrix products and leaves the rest in float32.",
        stock=False,
    ),
    _scoring(
        "the same, int8 in ONNX Runtime",
        "our scoring with PyTorch in float32",
        3.0,
        "int8",
        "fp32",
        "scoring_speed-int8.json",
        "Products are half of an int8 pass; norms, softmax and GELU stay in float32; tokenising costs the same.",
        stock=False,
    ),
    *(
        Target(
            f"one text at a time, {words}",
            '`pipeline("text-classification")`',
            goal,
            "latency.json",
            reading.latency(arm),
            accuracy=reading.latency_accuracies(arm),
            stock=arm != "tellapart",
        )
        for arm, words, goal in (
            ("tellapart", "PyTorch", 1.0),
            ("onnx", "an export in ONNX Runtime", 2.5),
            ("int8", "an int8 export", 2.5),
        )
    ),
    Target(
        "accuracy of int8 in ONNX Runtime",
        "our scoring with PyTorch",
        -0.3,
        "scoring_speed-int8.json",
        reading.int8_points,
        unit="points",
        why="Activations have one scale per batch: benchmarks/LOG.md says what else was tried.",
    ),
    Target(
        "a training step, R8",
        "the rate of its matrix products in isolation",
        0.6,
        "machine_peak-r8.json",
        reading.entry("shares", "the step's products"),
        unit="%",
    ),
    Target(
        "overhead of a comparison of 5 methods, TREC, 20 per class",
        "its training steps and evaluations",
        0.15,
        "comparison_overhead-trec6.json",
        reading.overhead,
        at_most=True,
        unit="%",
    ),
    Target(
        "memory of fine-tuning, R8",
        "`transformers.Trainer`, its defaults",
        1.0,
        "memory.json",
        reading.entry("ratios", "tellapart, of the stock Trainer"),
        at_most=True,
    ),
    Target(
        "memory of CLLD on batches of 1,024 in chunks of 64",
        "CLLD on batches of 64",
        1.1,
        "memory.json",
        reading.entry("ratios", "large batch in chunks, of the small one"),
        at_most=True,
    ),
    Target(
        "training on an idle machine, waiting threads asleep",
        "OpenMP's settings",
        1.02,
        _SHARED,
        reading.of_shared("idle"),
        at_most=True,
        why="This short training varies from pair to pair by much more than 2 %: the pairs cannot tell such a "
        "cost from none.",
    ),
    Target(
        "the same beside one busy process",
        "twice the time of an idle machine",
        1.25,
        _SHARED,
        reading.of_two_idle("one busy process"),
        at_most=True,
    ),
    Target(
        "two trainings at once",
        "one after the other",
        1.4,
        _SHARED,
        reading.of_two_idle("two trainings at once"),
        at_most=True,
    ),
    _tokenising("tokenising texts", "`datasets.map`, its defaults", 1.0, "datasets.map, of tellapart"),
    _tokenising(
        "tokenising the same texts again",
        "the first time",
        0.1,
        "the second time, of the first",
        at_most=True,
    ),
)


def table_rows(folder: Path) -> list[list[str]]:
    """Returns the rows of the table with a header; targets without a JSON file are marked as not measured.

    Args:
        folder: Where the JSON files are.
    """
    header = ["measurement", "compared with", "target", "ours", "reached", "accuracy, ours and theirs (%)"]
    rows = [[*header, "processor"]]
    for target in TARGETS:
        limit = ("at most " if target.at_most else "at least ") + target.formatted(target.goal)
        found = target.measured(folder)
        if found is None:
            rows.append([target.what, target.against, limit, "not measured", "–", "–", "–"])
            continue
        value, remark, both = found
        rows.append(
            [
                target.what,
                target.against,
                limit,
                target.formatted(value) + (f" ({remark})" if remark else ""),
                "yes" if target.met(value) else "**no**",
                " and ".join(f"{100 * share:.2f}" for share in both) if both else "–",
                target.processor(folder),
            ]
        )
    return rows


def headline_rows(folder: Path) -> list[list[str]]:
    """Returns the measured rows against stock tools with the accuracy of both sides, with a header.

    Args:
        folder: Where the JSON files are.
    """
    rows = [["measurement", "compared with", "ours", "accuracy, ours and theirs (%)"]]
    for target in TARGETS:
        found = target.measured(folder)
        if not target.stock or found is None:
            continue
        value, remark, both = found
        if both is not None:
            accuracies = " and ".join(f"{100 * share:.1f}" for share in both)
            rows.append([target.what, target.against, f"{target.formatted(value)} ({remark})", accuracies])
    return rows


def missed(folder: Path) -> list[str]:
    """Returns one sentence per missed target, with the reason if it is known."""
    sentences = []
    for target in TARGETS:
        found = target.measured(folder)
        if found is not None and not target.met(value := found[0]):
            side = "above" if target.at_most else "below"
            sentences.append(
                f"{target.what[0].upper() + target.what[1:]}: {target.formatted(value)} is {side} the target of "
                f"{target.formatted(target.goal)}." + (f" {target.why}" if target.why else "")
            )
    return sentences
