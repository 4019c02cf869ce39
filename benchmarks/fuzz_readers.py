"""Feeds generated and damaged files to every reader, in child processes, and counts what is no error of tellapart.

Each file is drawn from a seed: a valid file of one of the formats, in most cases damaged afterwards. A reader must
return or raise a `TellapartError`. A child that dies or takes longer than the limit is replaced by another.

    python benchmarks/fuzz_readers.py --files 2000

Writes benchmarks/results/fuzz_readers.json: the numbers of files and calls, raw exceptions, crashes, calls beyond the
time limit, and the seconds of the slowest call. Each failure is listed with the number of its file, which `--only`
repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import random
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tellapart.data.examples import LabelSpace
from tellapart.data.label_texts import read_label_texts
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_data
from tellapart.data.reading.streams import open_rows
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.unlabelled import read_unlabelled
from tellapart.errors import TellapartError
from tellapart.question_answering.squad import read_squad
from tellapart.recipes.reading import read_mapping, validated

RESULT = Path(__file__).parent / "results" / "fuzz_readers.json"
LABELS = LabelSpace(("lost", "stolen"), "single_label_classification")

READERS: dict[str, Callable[[Path], Any]] = {
    "table": read_table,
    "stream": lambda path: [part.num_rows for part in open_rows(path).parts()],
    "classes": lambda path: read_data(str(path)),
    "label lists": lambda path: read_data(str(path), multi_label=True),
    "targets": lambda path: read_data(str(path), regression=True),
    "unlabelled": lambda path: read_unlabelled(str(path), ColumnNames()),
    "questions": lambda path: read_squad(str(path)),
    "label texts": lambda path: read_label_texts(str(path), LABELS),
    "recipe": lambda path: validated(read_mapping(path)),
}

# fmt: off
TEXTS = [
    "my card is lost", "a thief took it", "", " ", "naïve café", "我的卡丢了", "a,b;c\td|e", 'say "no"',
    "line\nbreak", "x" * 5_000, "null", "NaN", "1", "\u2028", "\x00", "[1, 2]", '{"a": 1}', "__label__lost gone",
    "=1+1", "\ufeff", "😀", "[[[[[[", "}}}",
]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 10**400, 1.5, 1e308, [], {}, [1], ["lost"], ["lost", 1],
    [[]], {"a": 1}, {"a": {"b": []}}, [None], "2024-01-01",
]
NAMES = ["text", "label", "labels", "id", "question_id", "", " Text ", "sentence1", "sentence2", "score", "é"]
TOKENS = [
    b"null", b"nan", b"1e999", b"-", b"9" * 5_000, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b'"', b"'",
    b"\\", b"\\ud800", b",", b";", b"\t", b"[", b"]", b"{", b"}", b":", b"&a", b"*a", b"!!python/object:os.system",
    b"sep=;\n", b"__label__", b"PAR1", b"[" * 1_000, b'{"a":' * 1_000, b"[" * 50_000, b"," * 20_000, b"\n" * 5_000,
    b"x" * 200_000, b"\x1f\x8b", b"<<: ", b"---\n",
]
# fmt: on


def write_file(number: int, folder: Path) -> Path:
    """Writes the file of a number; equal numbers have equal files."""
    draw = random.Random(number)
    suffix, content = draw.choice(FORMATS)(draw)
    if draw.random() < 0.75:
        for _ in range(draw.choice((1, 1, 2, 5))):
            content = draw.choice(DAMAGES)(draw, content)
    if draw.random() < 0.1:
        content = gzip.compress(content, mtime=0)
        suffix += ".gz"
        if draw.random() < 0.5:
            content = draw.choice(DAMAGES)(draw, content)
    if draw.random() < 0.05:
        suffix = draw.choice(SUFFIXES)
    path = folder / f"file{number}{suffix}"
    path.write_bytes(content)
    return path


def _rows(draw: random.Random) -> list[dict[str, Any]]:
    names = draw.sample(NAMES, draw.randint(1, 4)) if draw.random() < 0.5 else ["text", "label"]
    odd = draw.random() < 0.3

    def value(name: str) -> Any:
        if odd and draw.random() < 0.2:
            return draw.choice(VALUES)
        return draw.choice(("lost", "stolen")) if name.startswith("label") else draw.choice(TEXTS)

    return [{name: value(name) for name in names if draw.random() < 0.98} for _ in range(draw.randint(0, 12))]


def _delimited(draw: random.Random) -> tuple[str, bytes]:
    delimiter = draw.choice(",,;\t|")
    rows = _rows(draw)
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names] * (draw.random() < 0.9) + [[str(row.get(name, "")) for name in names] for row in rows]
    quoted = draw.random() < 0.8

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted else text

    text = draw.choice(("\n", "\r\n")).join(delimiter.join(map(cell, line)) for line in lines)
    encoding = draw.choice(["utf-8"] * 5 + ["utf-16", "gb18030", "cp1252", "utf-8-sig"])
    return draw.choice((".csv", ".csv", ".tsv")), text.encode(encoding, errors="replace")


def _json_lines(draw: random.Random) -> tuple[str, bytes]:
    lines = [json.dumps(row, ensure_ascii=draw.random() < 0.5) for row in _rows(draw)]
    if draw.random() < 0.2:
        lines.insert(draw.randint(0, len(lines)), json.dumps(draw.choice(VALUES)))
    return draw.choice((".jsonl", ".ndjson", ".json")), "\n".join(lines).encode(errors="replace")


def _json(draw: random.Random) -> tuple[str, bytes]:
    rows = _rows(draw)
    names = list(dict.fromkeys(name for row in rows for name in row))
    shapes: list[Any] = [
        rows,
        {name: [row.get(name) for row in rows] for name in names},
        {name: {str(place): row.get(name) for place, row in enumerate(rows)} for name in names},
        {"lost": draw.choice(TEXTS), "stolen": draw.choice([*TEXTS, *VALUES])},
        draw.choice(VALUES),
    ]
    return ".json", json.dumps(draw.choice(shapes)).encode()


def _squad(draw: random.Random) -> tuple[str, bytes]:
    def odd(value: Any) -> Any:
        return draw.choice(VALUES) if draw.random() < 0.05 else value

    context = "My card was stolen in Rome."
    answers = odd([{"text": odd("Rome"), "answer_start": odd(22)}])
    questions = odd(
        [{"id": odd(str(draw.random())), "question": odd("Where?"), "answers": answers} for _ in range(3)]
    )
    paragraphs = odd([{"context": odd(context), "qas": questions}])
    return ".json", json.dumps({"version": odd("1.1"), "data": odd([{"paragraphs": paragraphs}])}).encode()


def _yaml(draw: random.Random) -> tuple[str, bytes]:
    content: list[Any] = [
        {"lost": draw.choice(TEXTS), "stolen": draw.choice(TEXTS)},
        {"method": draw.choice(["cross-entropy", "contrast", *VALUES]), "seed": draw.choice(VALUES)},
        {
            "data": {"source": draw.choice(TEXTS), "text": draw.choice(VALUES)},
            "stages": [{"epochs": draw.choice(VALUES)}],
        },
        _rows(draw),
    ]
    return draw.choice((".yaml", ".yml")), yaml.safe_dump(draw.choice(content), allow_unicode=True).encode()


def _lines(draw: random.Random) -> tuple[str, bytes]:
    prefix = draw.choice(("", "__label__lost ", "__label__lost __label__stolen "))
    return ".txt", "\n".join(prefix + draw.choice(TEXTS) for _ in range(draw.randint(0, 8))).encode()


def _parquet(draw: random.Random) -> tuple[str, bytes]:
    rows = [{str(name): str(value) for name, value in row.items()} for row in _rows(draw)]
    table = pa.Table.from_pylist(rows or [{"text": "a", "label": "x"}])
    if draw.random() < 0.3:
        block = draw.choice(
            [b"", b"null", b"[]", b"{}", b'{"info": []}', b'{"info": {"features": {"label": 1}}}']
        )
        table = table.replace_schema_metadata({"huggingface": block})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return ".parquet", stream.getvalue()


FORMATS = [_delimited, _delimited, _json_lines, _json_lines, _json, _squad, _yaml, _lines, _parquet]
SUFFIXES = [
    ".csv",
    ".tsv",
    ".jsonl",
    ".json",
    ".parquet",
    ".yaml",
    ".txt",
    ".csv.gz",
    ".jsonl.gz",
    ".xlsx",
    "",
]


def _cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randint(0, len(content))]


def _without_piece(draw: random.Random, content: bytes) -> bytes:
    start = draw.randint(0, len(content))
    return content[:start] + content[start + draw.randint(0, 20) :]


def _inserted(draw: random.Random, content: bytes) -> bytes:
    start = draw.choice((0, len(content), draw.randint(0, len(content))))
    return content[:start] + draw.choice(TOKENS) + content[start:]


def _changed_bytes(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _replaced(draw: random.Random, content: bytes) -> bytes:
    old = draw.choice((b'"', b",", b":", b"\n", b"lost", b"text", b"]", b"}", b"1"))
    return content.replace(old, draw.choice(TOKENS[:24]), draw.choice((1, 1, 1_000)))


def _repeated(draw: random.Random, content: bytes) -> bytes:
    start = draw.randint(0, len(content))
    piece = content[start : start + draw.randint(1, 60)]
    return content[:start] + piece * draw.choice((2, 3, 200)) + content[start:]


DAMAGES = [_cut, _without_piece, _inserted, _inserted, _changed_bytes, _replaced, _repeated]


def raw_exception(reader: str, path: Path) -> str:
    """Calls a reader; returns the exception that is no `TellapartError`, in words, or an empty string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[reader](path)
    except TellapartError as error:
        return f"a message of {len(str(error))} characters" if len(str(error)) > 5_000 else ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def _answer_calls() -> None:
    """The child: answers every line of standard input, a JSON pair of reader and path, with a line of JSON."""
    for line in sys.stdin:
        reader, path = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = raw_exception(reader, Path(path))
        print(json.dumps(answer), flush=True)


class _Child:
    """A process that calls readers; it is started again after it died or was stopped."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def call(self, reader: str, path: Path, limit: float) -> str:
        """Returns a raw exception, `crash` with the exit status, `timeout`, or an empty string."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._ask("table", Path("warm-up"), 120)  # imports take seconds
        return self._ask(reader, path, limit)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _ask(self, reader: str, path: Path, limit: float) -> str:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([reader, str(path)]) + "\n")
        process.stdin.flush()
        answered = select.select([process.stdout], [], [], limit)[0]
        line = process.stdout.readline() if answered else ""
        if line:
            return json.loads(line)
        self.close()
        return f"crash with exit status {process.returncode}" if answered else "timeout"


def fuzz(numbers: range | list[int], limit: float) -> dict[str, Any]:
    """Reads the files of these numbers with every reader; returns the counts and the failures."""
    failures: list[dict[str, Any]] = []
    calls, slowest = 0, (0.0, "")
    child = _Child()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            path = write_file(number, Path(folder))
            for reader in READERS:
                start = time.monotonic()
                found = child.call(reader, path, limit)
                seconds = time.monotonic() - start
                calls += 1
                if calls > 1 and not found:
                    slowest = max(slowest, (round(seconds, 2), f"file {number}, {reader}"))
                if found:
                    failures.append({"file": number, "name": path.name, "reader": reader, "failure": found})
                    print(json.dumps(failures[-1]), file=sys.stderr, flush=True)
            path.unlink()
    child.close()
    crashes = sum(one["failure"].startswith("crash") for one in failures)
    timeouts = sum(one["failure"] == "timeout" for one in failures)
    return {
        "files": len(numbers),
        "calls": calls,
        "raw_exceptions": len(failures) - crashes - timeouts,
        "crashes": crashes,
        "timeouts": timeouts,
        "limit_seconds": limit,
        "slowest_seconds": slowest[0],
        "slowest_call": slowest[1],
        "failures": failures,
    }


def main() -> None:
    options = argparse.ArgumentParser(description="Feeds damaged files to every reader.")
    options.add_argument("--files", type=int, default=2_000)
    options.add_argument("--limit", type=float, default=20.0, help="seconds of a call")
    options.add_argument(
        "--only", type=int, nargs="*", help="numbers of files; the result is printed, not written"
    )
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        _answer_calls()
        return
    result = fuzz(given.only or range(given.files), given.limit)
    if given.only:
        print(json.dumps(result, indent=2))
    else:
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps({key: value for key, value in result.items() if key != "failures"}))


if __name__ == "__main__":
    main()
