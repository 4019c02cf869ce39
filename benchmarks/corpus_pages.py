"""Tables of the page on corpora larger than memory, from benchmarks/results/corpus_plan.json."""

from __future__ import annotations

import json
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware

FILE = RESULTS / "corpus_plan.json"
PAGE = "concepts/corpora-of-billions.md"

_POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def corpus_tables() -> list[str]:
    """Returns the generated contents of the page, in its order."""
    result = json.loads(FILE.read_text(encoding="utf-8"))
    return [
        _sizes(result),
        _earlier(result),
        _ranks(result),
        _reading(result),
        _plan(result),
        _command(result),
    ]


def _sizes(result: dict[str, Any]) -> str:
    rows = [
        ["tokens", "sequences", "shards", "memory", "finding the sequences (ms)", "reading and masking (ms)"]
    ]
    for one in result["sizes"]:
        rows.append(
            [
                _power(one["tokens"]),
                f"{one['sequences']:,}",
                f"{one['shards']:,}",
                _bytes(one["memory"]),
                f"{1000 * one['finding_seconds']:.2f}",
                f"{1000 * one['making_seconds']:.2f}",
            ]
        )
    return table(rows)


def _earlier(result: dict[str, Any]) -> str:
    rows = [["tokens", "memory in version 0.1", "time to the first step (s)"]]
    rows += [
        [_power(one["tokens"]), _bytes(one["memory"]), f"{one['seconds']:.1f}"] for one in result["earlier"]
    ]
    return table(rows)


def _ranks(result: dict[str, Any]) -> str:
    rows = [["processes", "finding the sequences of a step (ms)", "memory"]]
    rows += [
        [str(one["ranks"]), f"{1000 * one['seconds']:.1f}", _bytes(one["memory"])] for one in result["ranks"]
    ]
    return table(rows)


def _reading(result: dict[str, Any]) -> str:
    names = {"advice": "single pages (tellapart)", "none": "the system's own choice"}
    rows = [["", "read from the disk per sequence", "seconds"]]
    for name, label in names.items():
        one = result["reading"][name]
        rows.append([label, _bytes(one["bytes_per_sequence"]), f"{one['seconds']:.2f}"])
    one = result["reading"]["advice"]
    return (
        f"{table(rows)}\n\n{one['sequences']:,} sequences of {result['mean_tokens']} tokens on average, from a "
        f"corpus of {_bytes(one['corpus_bytes'])}."
    )


def _plan(result: dict[str, Any]) -> str:
    plan, resuming = result["plan"], result["resuming"]
    short, long = result["tokenising"][0], result["tokenising"][-1]
    million = f"{plan['gpu_tokens_per_second']:,} tokens per second"
    rows = [
        ["", ""],
        ["sequences", f"{plan['sequences']:,}"],
        ["text", _bytes(plan["text_bytes"])],
        ["token ids on the disk", _bytes(plan["token_bytes"])],
        ["starts of sequences on the disk", _bytes(plan["starts_bytes"])],
        ["shards", f"{plan['shards']:,}"],
        ["files", f"{plan['files']:,}"],
        ["files open at a time, where the system allows 1,024", f"{plan['open_files']:,}"],
        ["size of the index", _bytes(plan["index_bytes"])],
        ["memory of the index", _bytes(plan["index_memory"])],
        ["memory that version 0.1 would need", _bytes(plan["earlier_memory"])],
        ["tokenising, per core", f"{plan['tokenising_core_hours']:,.0f} hours"],
        ["tokenising, on 64 cores", f"{plan['tokenising_core_hours'] / 64:.1f} hours"],
        [
            f"memory to tokenise {_bytes(short['text_bytes'])} / {_bytes(long['text_bytes'])} of text",
            f"{_bytes(short['memory'])} / {_bytes(long['memory'])}",
        ],
        ["comparing all checksums", f"{plan['checksum_core_minutes']:.0f} minutes"],
        ["reading all texts to see that they are the same", f"{plan['texts_core_minutes']:.0f} minutes"],
        ["opening the corpus and checking all sizes", f"{1000 * plan['opening_seconds']:.0f} ms"],
        [
            f"first batch after a checkpoint at step {resuming['step']:,} of {resuming['ranks']} processes",
            f"{resuming['seconds']:.1f} s",
        ],
        [
            f"reads from the disk for {million}",
            f"{plan['gpu_sequences_per_second']:,.0f} sequences per second, "
            f"{_bytes(plan['gpu_bytes_per_second'])} per second",
        ],
        [f"ids among them for {million}", f"{_bytes(plan['gpu_useful_bytes_per_second'])} per second"],
    ]
    return table(rows)


def _command(result: dict[str, Any]) -> str:
    return (
        f"Batches of {result['batch_size']} sequences of {result['mean_tokens']} tokens on average, "
        f"{result['steps']} steps, shards of {result['shard_mib']} MiB; texts of {result['command']['data']}, "
        "repeated.\n\n"
        f"```bash\npython benchmarks/corpus_plan.py --data {result['command']['data']}\n```\n\n"
        + hardware(result["environment"])
        + " JSON: `benchmarks/results/corpus_plan.json`."
    )


def _power(number: int) -> str:
    return "10" + "".join(_POWERS[int(digit)] for digit in str(len(str(number)) - 1))


def _bytes(count: float) -> str:
    for size, unit in _UNITS:
        if count >= size:
            value = count / size
            return f"{value:,.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{count:.0f} bytes"
