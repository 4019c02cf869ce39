"""Reads the ratios and accuracies of targets.py from the JSON files in benchmarks/results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

Result = dict[str, Any]


def median(result: Result) -> tuple[float, str]:
    return result["median_ratio"], of(result["ratios"])


def of(values: Sequence[float]) -> str:
    return f"median of {len(values)}" if len(values) > 1 else "one seed"


def overhead(result: Result) -> tuple[float, str]:
    return result["overhead"], f"{len(result['command']['methods'])} × {result['command']['trials']} runs"


def worst(*methods: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        ratios = {name: result["median_ratios"][name] for name in methods}
        slowest = max(ratios, key=lambda name: ratios[name])
        return ratios[slowest], f"{slowest}, the slowest; median of {len(result['blocks'])}"

    return read


def entry(*keys: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        value: Any = result
        for key in keys:
            value = value[key]
        return float(value), ""

    return read


def compared(name: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        found = result["compared"][name]
        return found["median_ratio"], f"{result['command']['rows']:,} texts; median of {len(found['ratios'])}"

    return read


def against(other: str) -> Callable[[Result], tuple[float, str]]:
    """The median ratio of an arm's seconds to ours, other than the first arm's."""

    def read(result: Result) -> tuple[float, str]:
        ratio = result["median_ratios_of_others"][other]
        return ratio, f"{result['rows']['train']:,} texts; median of {len(result['ratios'])}"

    return read


def both(first: str, second: str) -> Callable[[Result], tuple[float, float]]:
    def read(result: Result) -> tuple[float, float]:
        def mean(arm: str) -> float:
            runs = result["arms"][arm]
            return sum(run["accuracy"] for run in runs) / len(runs)

        return mean(first), mean(second)

    return read


def few_shot(
    counts: Callable[[Result, Result], bool], *, first: bool
) -> Callable[[Result], tuple[float, float]]:
    """Our accuracy in the first or last run that counts, and SetFit's; means over the seeds."""

    def read(result: Result) -> tuple[float, float]:
        own, peers = [], []
        for trial in result["trials"]:
            peer = trial["setfit"]
            runs = [run["accuracy"] for run in trial["tellapart"] if counts(run, peer)]
            # If no run counts, the longest one is used: its accuracy shows by how much it missed.
            own.append((runs or [trial["tellapart"][-1]["accuracy"]])[0 if first else -1])
            peers.append(peer["accuracy"])
        return sum(own) / len(own), sum(peers) / len(peers)

    return read


def of_shared(load: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        ratios = [pair[load]["asleep"] / pair[load]["busy"] for pair in result["trials"]]
        remark = f"median of {len(ratios)}, from {min(ratios):.2f} to {max(ratios):.2f}"
        return statistics.median(ratios), remark

    return read


def of_two_idle(load: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        summary = result["summary"]
        ratio = summary[load]["asleep"] / (2 * summary["idle"]["asleep"])
        return ratio, f"medians of {len(result['trials'])}"

    return read


def latency(arm: str) -> Callable[[Result], tuple[float, str]]:
    def read(result: Result) -> tuple[float, str]:
        milliseconds = statistics.median(run["p50_ms"] for run in result["arms"][arm])
        remark = f"median {milliseconds:.1f} ms; {result['command']['pairs']} rounds"
        return result["median_ratios"][arm], remark

    return read


def latency_accuracies(arm: str) -> Callable[[Result], tuple[float, float]]:
    def read(result: Result) -> tuple[float, float]:
        own, stock = (result["arms"][name][0]["accuracy"] for name in (arm, "pipeline"))
        return own, stock

    return read


def int8_points(result: Result) -> tuple[float, str]:
    accuracy = result["compared"]["int8 against tellapart"]["accuracy"]
    return 100 * (accuracy["int8"] - accuracy["tellapart"]), f"{result['command']['rows']:,} texts"


def _peer_runs(result: Result, data: str, row: str) -> dict[int, Result]:
    """The runs of a row of the peers' table by seed.

    Raises:
        KeyError: There are none.
    """
    runs = {run["seed"]: run for run in result["runs"] if run["set"] == data and run["row"] == row}
    if not runs:
        raise KeyError(row)
    return runs


_PEER, _REACHING = "SetFit with 1,000 steps", "recommended, fewest epochs as accurate as SetFit"


def peer_times(data: str) -> Callable[[Result], tuple[float, str]]:
    """Median ratio of the processor seconds, over the seeds of both; 0 where ours never is as accurate."""

    def read(result: Result) -> tuple[float, str]:
        theirs, own = _peer_runs(result, data, _PEER), _peer_runs(result, data, _REACHING)
        ratios = [
            theirs[seed]["processor_seconds"] / run["processor_seconds"] if run["reached"] else 0.0
            for seed, run in own.items()
        ]
        reached = sum(run["reached"] for run in own.values())
        remark = "" if reached == len(ratios) else f", {reached} of which reached it"
        return statistics.median(ratios), f"median of {len(ratios)} seeds{remark}"

    return read


def peer_accuracies(data: str) -> Callable[[Result], tuple[float, float]]:
    def read(result: Result) -> tuple[float, float]:
        theirs, own = _peer_runs(result, data, _PEER), _peer_runs(result, data, _REACHING)
        both = [[runs[seed]["accuracy"] for seed in own] for runs in (own, theirs)]
        return statistics.mean(both[0]), statistics.mean(both[1])

    return read


def whole(method: str) -> Callable[[Result], tuple[float, str]]:
    """Median ratio of SetFit's whole script to a whole command, and the command's seconds."""

    def read(result: Result) -> tuple[float, str]:
        seconds = statistics.median(trial[method]["seconds"] for trial in result["trials"])
        return result["median_ratios"][method], f"{seconds:.0f} s; median of {len(result['trials'])}"

    return read


def beside_setfit(method: str) -> Callable[[Result], tuple[float, float]]:
    """Mean accuracy of a whole command and of SetFit's whole script."""

    def read(result: Result) -> tuple[float, float]:
        trials = result["trials"]
        ours, theirs = (
            statistics.mean(trial[arm]["accuracy"] for trial in trials) for arm in (method, "SetFit")
        )
        return ours, theirs

    return read
