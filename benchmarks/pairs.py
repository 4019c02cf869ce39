"""What the speed benchmarks share: arms in turn, a JSON that is written after every pair and can be gone on with."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tellapart.files import replacing
from tellapart.runs.environment import environment

RESULTS = Path(__file__).parent / "results"


def now(device: str) -> float:
    """Seconds on a clock, once the device has done all that it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def write(target: Path, result: Mapping[str, Any]) -> None:
    """Writes a result at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def earlier(target: Path, command: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of the same command on the same kind of machine, or None where there is none.

    The number of pairs may differ: an interrupted run is gone on with, and pairs can be added to a short one.
    """
    if not target.is_file():
        return None
    result = json.loads(target.read_text(encoding="utf-8"))
    if _without_pairs(result["command"]) != _without_pairs(command) or result["environment"] != environment():
        raise SystemExit(f"{target} holds pairs of other options or of another machine: leave out --resume")
    return result


def _without_pairs(command: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in command.items() if key != "pairs"}


def command_of(given: Any) -> dict[str, Any]:
    """The options that a result depends on."""
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in vars(given).items()
        if key not in ("output", "resume")
    }


def interleaved(
    arms: Mapping[str, Callable[[int], dict[str, float]]],
    *,
    pairs: int,
    target: Path,
    command: Mapping[str, Any],
    facts: Callable[[], Mapping[str, Any]] = dict,
    resume: bool = False,
) -> dict[str, Any]:
    """Measures arms in turn, forwards and backwards, and writes after every turn.

    Args:
        arms: By name, the first being what the others are compared with: takes the number of the pair, returns its
            figures, among them `seconds`.
        pairs: How often each arm runs.
        target: The JSON.
        command: The options, which go into it.
        facts: What else goes into it.
        resume: Whether to keep the pairs that are in it.

    Returns:
        What was written: the figures of each arm, the ratios of its seconds to the first arm's (how many times faster
        it is), and their median.
    """
    before = earlier(target, command) if resume else None
    measured: dict[str, list[dict[str, float]]] = before["arms"] if before else {arm: [] for arm in arms}
    first, *others = arms
    result: dict[str, Any] = before or {}
    for pair in range(len(measured[first]), pairs):
        for arm in arms if pair % 2 == 0 else reversed(list(arms)):
            figures = arms[arm](pair)
            measured[arm].append(figures)
            print(
                f"pair {pair}: {arm:>14} " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True
            )
        ratios = {
            arm: [
                one["seconds"] / own["seconds"]
                for one, own in zip(measured[first], measured[arm], strict=True)
            ]
            for arm in others
        }
        result = {
            "command": {**command, "pairs": pair + 1},
            "environment": environment(),
            **facts(),
            "arms": measured,
            "ratios": ratios,
            "median_ratios": {arm: statistics.median(values) for arm, values in ratios.items()},
        }
        write(target, result)
        print(", ".join(f"{arm} {value:.2f}x" for arm, value in result["median_ratios"].items()), flush=True)
    return result
