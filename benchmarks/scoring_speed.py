"""Scoring a file of texts end to end: tellapart against the stock tools, alternating in one process.

    python benchmarks/scoring_speed.py --pairs 5
    python benchmarks/scoring_speed.py --rows 600 --train-rows 600 --pairs 1 --arms pipeline,tellapart,int8

A classifier is trained briefly on a mix of R52 (newswire), banking77 (questions to a bank) and TREC (short
questions), with separate classes. Then each arm reads the same CSV file of other texts of the mix, loads its model,
scores, and writes a CSV file with one label per row:

- `pipeline`: `transformers.pipeline("text-classification")` with the checkpoint, batches of 32.
- `sentence-transformers`: `SentenceTransformer.encode` with its defaults, the published MiniLM, and a logistic
  regression fitted to its vectors of the same training texts. Skipped if the package is not installed.
- `tellapart`: `tellapart predict` with its defaults; `fp32` with `--precision fp32`.
- `onnx`: `tellapart predict` with an export of `tellapart export`; `int8` with `--quantize int8` (both on the CPU).

All arms truncate texts at 128 tokens. Training and exporting are not timed. Accuracy is over the scored texts. The
order of the arms is reversed in every other round; only the ratios within a round are meaningful. Results go to
benchmarks/results/scoring_speed.json after every round; `--resume` adds rounds to those that are there.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import transformers

import tellapart
from pairs import add_device, settle_device
from tellapart.data.reading.rows import read_data
from tellapart.encoders.resolve import resolve_encoder
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.export import export
from tellapart.runs.train import train

RESULTS = Path(__file__).parent / "results"
SETS = ("r52", "banking77", "trec6")
MAX_LENGTH = 128
HEADER = ("text", "label")

# Slower arm, faster arm, and the ratio that is aimed at.
TARGETS = (
    ("pipeline", "tellapart", 4.0),
    ("sentence-transformers", "tellapart", 1.6),
    ("tellapart", "int8", 1.3),
    ("fp32", "int8", 3.0),
)

Row = tuple[str, str]


class Workplace:
    """Input and output files of all arms.

    Args:
        folder: For everything.
        training: Rows to learn from.
        scored: Rows to score.
        method: What trains the classifier.
    """

    def __init__(self, folder: Path, training: list[Row], scored: list[Row], method: str) -> None:
        self.folder, self.training = folder, training
        self.gold = [label for _, label in scored]
        self.file = folder / "texts.csv"
        self.output = folder / "labelled.csv"
        self.run = folder / "run"
        write(self.file, HEADER[:1], [(text,) for text, _ in scored])
        write(folder / "data" / "train.csv", HEADER, training)
        write(folder / "data" / "test.csv", HEADER, scored[:256])  # what exports are compared on
        settings = [f"data.source={folder / 'data'}", f"encoder.max_length={MAX_LENGTH}", "stages.0.epochs=1"]
        train(with_values(method_recipe(method), settings), self.run, quiet=True)

    def texts(self) -> list[str]:
        with self.file.open(newline="", encoding="utf-8") as file:
            return [row["text"] for row in csv.DictReader(file)]


def write(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def mixed(training_rows: int, scored_rows: int) -> tuple[list[Row], list[Row]]:
    """Returns training rows and other rows of the same classes to score, equally many per data set if available."""
    training: list[Row] = []
    scored: list[Row] = []
    for number, name in enumerate(SETS):
        data = read_data(name)
        rows = [
            (text, f"{name}: {label}")
            for split in data.splits.values()
            for text, label in zip(split.texts, split.labels or [], strict=True)
        ]
        order = np.random.default_rng(number).permutation(len(rows))
        first, rest = training_rows // len(SETS), -(-scored_rows // len(SETS))
        training += [rows[row] for row in order[:first]]
        known = {label for _, label in training}
        scored += [rows[row] for row in order[first:] if rows[row][1] in known][:rest]
    random = np.random.default_rng(len(SETS))
    random.shuffle(scored)
    return training, scored[:scored_rows]


def pipeline(place: Workplace, device: str) -> Callable[[], None]:
    """Stock pipeline, as in its documentation."""

    def run() -> None:
        classify = transformers.pipeline("text-classification", str(place.run / "model"), device=device)
        texts = place.texts()
        found = classify(texts, batch_size=32, truncation=True)
        labels = [each["label"] for each in found]
        write(place.output, ("text", "predicted_label"), list(zip(texts, labels, strict=True)))

    return run


def sentence_transformers(place: Workplace, device: str) -> Callable[[], None]:
    """Sentence vectors and logistic regression."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    def load() -> Any:
        encoder = SentenceTransformer(resolve_encoder("minilm"), device=device)
        encoder.max_seq_length = MAX_LENGTH
        return encoder

    texts, labels = zip(*place.training, strict=True)
    vectors = load().encode(list(texts), show_progress_bar=False)
    head = LogisticRegression(C=10, max_iter=1000).fit(vectors, labels)

    def run() -> None:
        encoder = load()
        texts = place.texts()
        found = head.predict(encoder.encode(texts, show_progress_bar=False))
        write(place.output, ("text", "predicted_label"), list(zip(texts, found, strict=True)))

    return run


def ours(**options: Any) -> Callable[[Workplace, str], Callable[[], None]]:
    """`tellapart predict` with the run."""

    def prepare(place: Workplace, _: str) -> Callable[[], None]:
        def run() -> None:
            tellapart.predict(place.run, place.file, place.output, quiet=True, **options)

        return run

    return prepare


def exported(quantize: str | None) -> Callable[[Workplace, str], Callable[[], None]]:
    """`tellapart predict` with an export."""

    def prepare(place: Workplace, _: str) -> Callable[[], None]:
        folder = export(place.run, place.folder / f"onnx-{quantize}", quantize=quantize).folder

        def run() -> None:
            tellapart.predict(folder, place.file, place.output, quiet=True)

        return run

    return prepare


ARMS: dict[str, Callable[[Workplace, str], Callable[[], None]]] = {
    "pipeline": pipeline,
    "sentence-transformers": sentence_transformers,
    "tellapart": ours(),
    "fp32": ours(precision="fp32"),
    "onnx": exported(None),
    "int8": exported("int8"),
}


def timed(arm: Callable[[], None], place: Workplace) -> dict[str, float]:
    """Returns seconds, texts per second, and the accuracy of the output."""
    place.output.unlink(missing_ok=True)
    start = time.perf_counter()
    arm()
    seconds = time.perf_counter() - start
    with place.output.open(newline="", encoding="utf-8") as file:
        found = [row["predicted_label"] for row in csv.DictReader(file)]
    right = sum(label == gold for label, gold in zip(found, place.gold, strict=True))
    return {
        "seconds": seconds,
        "texts_per_second": len(found) / seconds,
        "accuracy": right / len(found),
    }


def compared(measured: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Returns the compared ratios with the accuracy of both sides, by "faster arm against slower arm"."""
    found = {}
    for slow, fast, target in TARGETS:
        if slow not in measured or fast not in measured:
            continue
        ratios = [
            one["seconds"] / two["seconds"] for one, two in zip(measured[slow], measured[fast], strict=True)
        ]
        accuracy = {
            arm: statistics.median(each["accuracy"] for each in measured[arm]) for arm in (slow, fast)
        }
        found[f"{fast} against {slow}"] = {
            "target": target,
            "ratios": ratios,
            "median_ratio": statistics.median(ratios),
            "accuracy": accuracy,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000, help="texts to score")
    parser.add_argument("--train-rows", type=int, default=4_000)
    parser.add_argument(
        "--method", default="cross-entropy", help="method that trains the classifier, for one epoch"
    )
    parser.add_argument("--pairs", type=int, default=5, help="rounds of all arms")
    parser.add_argument("--arms", help="comma-separated; by default all that can run")
    add_device(parser)
    parser.add_argument("--output", type=Path, default=RESULTS / "scoring_speed.json")
    parser.add_argument("--resume", action="store_true", help="keep the rounds that were measured before")
    given = parser.parse_args()
    settle_device(given)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    arms = given.arms.split(",") if given.arms else default_arms(given.device)
    command = {name: getattr(given, name) for name in ("rows", "train_rows", "method", "device")} | {
        "arms": arms
    }
    measured = earlier(given.output, command) if given.resume else {arm: [] for arm in arms}
    training, scored = mixed(given.train_rows, given.rows)
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder), training, scored, given.method)
        ready = {arm: ARMS[arm](place, given.device) for arm in arms}
        for number in range(len(measured[arms[0]]), given.pairs):
            for arm in arms if number % 2 == 0 else arms[::-1]:
                measured[arm].append(timed(ready[arm], place))
                last = measured[arm][-1]
                print(
                    f"round {number}: {arm:>21} {last['texts_per_second']:8.1f} texts/s, "
                    f"accuracy {last['accuracy']:.4f}",
                    flush=True,
                )
            save(given.output, command, measured, training, scored)
    for name, found in compared(measured).items():
        print(f"{name}: {found['median_ratio']:.2f}x (median of {given.pairs}), target {found['target']}x")


def default_arms(device: str) -> list[str]:
    """Returns the arms whose packages are installed and that support the device."""
    needs = {"sentence-transformers": ("sentence_transformers",), "onnx": ("onnxscript", "onnxruntime")}
    needs["int8"] = needs["onnx"]
    arms = []
    for arm in ARMS:
        missing = [name for name in needs.get(arm, ()) if importlib.util.find_spec(name) is None]
        if missing:
            print(f"{arm} is skipped: {', '.join(missing)} is not installed")
        elif device == "cpu" or arm not in ("onnx", "int8"):
            arms.append(arm)
    return arms


def save(
    target: Path,
    command: dict[str, Any],
    measured: dict[str, list[dict[str, float]]],
    training: list[Row],
    scored: list[Row],
) -> None:
    words = [len(text.split()) for text, _ in scored]
    result = {
        "command": command | {"pairs": len(next(iter(measured.values())))},
        "environment": environment() | peers(),
        "rows": {"train": len(training), "scored": len(scored)},
        "words": {"mean": statistics.mean(words), "median": statistics.median(words), "longest": max(words)},
        "arms": measured,
        "compared": compared(measured),
    }
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def peers() -> dict[str, str]:
    """Returns the versions of the compared packages."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("sentence-transformers", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def earlier(target: Path, command: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Returns earlier rounds with the same options on the same kind of machine."""
    result = json.loads(target.read_text(encoding="utf-8"))
    before = {key: value for key, value in result["command"].items() if key != "pairs"}
    if before != command or result["environment"] != environment() | peers():
        raise SystemExit(
            f"{target} holds rounds with other options or from another machine: leave out --resume"
        )
    return result["arms"]


if __name__ == "__main__":
    main()
