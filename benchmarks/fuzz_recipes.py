"""Feeds damaged and hostile recipes to every reader of recipes, and counts how they end.

Each case must be accepted or refused by one sentence, within two seconds of processor time.

    python benchmarks/fuzz_recipes.py            # 1,350 cases; writes benchmarks/results/fuzz_recipes.json
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

import tellapart
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.label_texts import read_label_texts
from tellapart.errors import TellapartError
from tellapart.fitting.resolve import resolve
from tellapart.pretraining.recipe import PretrainRecipe, load_pretraining_recipe, with_pretraining_values
from tellapart.recipes import Recipe, load_recipe, method_recipe, methods, with_values
from tellapart.recipes.spaces import parse_spaces
from tellapart.reproduction.request import load_protocol

CASES, SEED, SECONDS = 1_350, 16, 2
RESULT = Path(__file__).parent / "results" / "fuzz_recipes.json"
_PAPERS = Path(tellapart.__file__).parent / "reproduction" / "papers"
_CLASSES = ["lost", "stolen", "expired"]

_BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{one}: &a{one} [*a{one - 1}, *a{one - 1}]" for one in range(1, 31))]
)
_SCALARS = [
    *("", "~", "null", "true", "no", "yes", "on", "0", "1", "-1", "4294967296", "1e9", "1e300", "-1.0e+300"),
    *(
        ".inf",
        "-.inf",
        ".nan",
        "0x",
        "0xff",
        "0x_",
        "0b",
        "0o17",
        "1_000",
        "1:2:3",
        "=",
        "<<",
        "!",
        "!!",
        "%",
        "@",
    ),
    *("2001-01-01", "2001-99-99", "2001-12-14t21:59:43.10-05:00", "!!timestamp 2001-99-99", '!!bool "x"'),
    *('!!int "x"', '!!float "x"', "!!binary x", "!!binary aGFs", "!!set {a, b}", "!!omap [a: 1]", "!!null x"),
    *("!!python/object/apply:os.system [ls]", "!own x", "! x", "!!str 1", "9" * 5_000, "0x" + "f" * 5_000),
    *("[" * 1_000 + "]" * 1_000, "{a: " * 1_000 + "}" * 1_000, "[[[1]]]", "{[a]: b}", "{{a: 1}: 2}", "? [a]"),
    *(
        "[]",
        "{}",
        "[a, b]",
        "{a: 1}",
        "{a: 1, a: 2}",
        "{1: 2}",
        "{~: 2}",
        "{true: 2}",
        "&a [*a]",
        "*none",
        "&a",
    ),
    *(
        "'x",
        '"x',
        '"\\ud800"',
        '"\\0"',
        "\0",
        "\x7f",
        "\ud800",
        "é",
        "‮",
        "x" * 100_000,
        "a: b: c",
        "- -",
        "\t",
    ),
    *("cross-entropy", "r-drop", "minilm", "../x", "~nosuchuser/x", "/dev/null", "x" * 300 + ".yaml"),
]
_PATHS = [
    *(
        "method",
        "seed",
        "stages",
        "data",
        "encoder",
        "decision",
        "self_training",
        "data.text",
        "data.few_shot",
    ),
    *(
        "data.order",
        "data.label_texts",
        "data.validation_share",
        "encoder.name",
        "encoder.max_length",
        "stages.0",
    ),
    *(
        "encoder.pooling",
        "decision.thresholds",
        "decision.temperature",
        "stages.0.epochs",
        "stages.0.batch_size",
    ),
    *("stages.0.learning_rate", "stages.0.learns", "stages.0.objective", "stages.0.objective.name"),
    *("stages.0.objective.weight", "stages.0.objective.pairs", "stages.0.metric", "stages.0.trainer"),
    *("stages.0.trainer.optim", "stages.0.trainer.adam_beta1", "stages.0.trainer.max_steps", "stages.9"),
    *("stages.0.trainer.fsdp", "stages.0.trainer.report_to", "stages.0.trainer.lr_scheduler_type", "nothing"),
    *(
        "steps",
        "mask_share",
        "objective",
        "correction",
        "save_at",
        "trainer.optim",
        "trainer.max_steps",
        "trainer.fsdp",
    ),
    *(
        "stages.0.trainer.logging_steps",
        "stages.0.trainer.debug",
        "stages.-1.epochs",
        "a.b.c",
        "",
        ".",
        "seed.x",
    ),
]


def cases(number: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yields the kind of each case, a key for `--set`, and the content of a file or the value of the key."""
    draw = random.Random(seed)
    shipped = [method_recipe(name).to_yaml() for name in methods()] + 5 * [PretrainRecipe().to_yaml()]
    shipped += [file.read_text(encoding="utf-8") for file in sorted(_PAPERS.glob("*.yaml"))]
    shipped += 5 * [yaml.safe_dump({name: [f"my card is {name}", "no more"] for name in _CLASSES})]
    for _ in range(number):
        kind = draw.choice(("value", "file", "bytes", "structure", "assignment", "assignment", "space"))
        path, text = draw.choice(_PATHS), draw.choice(shipped)
        if kind in ("assignment", "space"):
            text = draw.choice(_SCALARS)
            if kind == "space":
                text = draw.choice(
                    [text, f"{text},{draw.choice(_SCALARS)}", f"1..{text}", f"0.1..0.9:{text}"]
                )
        elif kind == "value":
            lines = text.splitlines()
            place = draw.randrange(len(lines))
            lines[place] = lines[place].partition(":")[0] + ": " + draw.choice(_SCALARS)
            text = "\n".join(lines)
        elif kind == "file":
            text = draw.choice(
                [draw.choice(_SCALARS), _BOMB, text + _BOMB, "data:\n  " + _BOMB.replace("\n", "\n  ")]
            )
        elif kind == "structure":
            text = yaml.safe_dump(_damaged(yaml.safe_load(text), draw), sort_keys=False)
        content = text.encode("utf-8", "surrogatepass")
        if kind == "bytes":
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 20)):
                damaged[draw.randrange(len(damaged))] = draw.choice([*range(32, 127), 0, 9, 10, 200, 255])
            content = bytes(damaged)
        yield kind, path, content


def _damaged(value: Any, draw: random.Random) -> Any:
    """Returns a recipe of which one part is replaced by another kind of value."""
    if draw.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return draw.choice(
            [None, True, -1, 2**32, 1e300, float("inf"), "x", [], {}, [[1]], {"a": {}}, {1: 2}, value]
        )
    changed = value.copy()
    key = draw.randrange(len(value)) if isinstance(value, list) else draw.choice(list(value))
    changed[key] = _damaged(value[key], draw)
    if isinstance(changed, dict) and draw.random() < 0.1:
        changed[draw.choice(["unknown", 1, None, True, 2.5])] = 1
    return changed


def readers(kind: str, path: str, content: bytes, folder: Path) -> dict[str, Callable[[], Any]]:
    """Returns everything that reads a case, by name."""
    if kind in ("assignment", "space"):
        text = content.decode("utf-8", "surrogateescape" if kind == "space" else "surrogatepass")
        if kind == "space":
            return {"space": lambda: parse_spaces(method_recipe("label-distance"), [f"{path}={text}"])}
        return {
            "assignment": lambda: _resolved(with_values(method_recipe("label-distance"), [f"{path}={text}"])),
            "pre-training assignment": lambda: with_pretraining_values(PretrainRecipe(), [f"{path}={text}"]),
        }
    file = folder / "recipe.yaml"
    file.write_bytes(content)
    return {
        "recipe": lambda: _resolved(load_recipe(file)),
        "pre-training recipe": lambda: load_pretraining_recipe(file).to_yaml(),
        "label texts": lambda: read_label_texts(str(file), _data().labels),
        "protocol": lambda: load_protocol(file),
    }


def _data() -> TextData:
    texts = [f"my card is {name}" for name in _CLASSES for _ in range(4)]
    split = TextSplit(texts, labels=[name for name in _CLASSES for _ in range(4)])
    return TextData(split, split, split, LabelSpace(tuple(_CLASSES)))


def _resolved(recipe: Recipe) -> Recipe:
    recipe.to_yaml()
    return resolve(recipe, _data()).recipe


def outcome(read: Callable[[], Any]) -> tuple[str, str]:
    """Returns `accepted`, `refused`, `raw` or `slow`, with the message or the last line of the traceback."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10 * SECONDS)
    start = time.process_time()
    try:
        read()
        kind, message = "accepted", ""
    except TellapartError as error:
        kind, message = "refused", str(error)
        if len(message) > 2_000 or not message:
            kind = "raw"
    except BaseException:
        kind, message = "raw", traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ("slow" if time.process_time() - start > SECONDS else kind), message


def run(number: int, seed: int) -> tuple[Counter[str], list[dict[str, str]]]:
    """Runs the cases; returns how often each outcome came, and the cases that are neither accepted nor refused."""
    counts: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, path, content in cases(number, seed):
            for name, read in readers(kind, path, content, Path(folder)).items():
                result, message = outcome(read)
                counts[result] += 1
                if result in ("raw", "slow"):
                    shown = content[:200].decode("utf-8", "backslashreplace")
                    faults.append(
                        {"reader": name, "kind": kind, "path": path, "content": shown, "message": message}
                    )
    return counts, faults


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    run(20, given.seed + 1)  # imports, so that the first case is not the slow one
    counts, faults = run(given.cases, given.seed)
    result = {
        "cases": given.cases,
        "seed": given.seed,
        "calls": counts.total(),
        "tellapart": tellapart.__version__,
    }
    result |= {name: counts[name] for name in ("accepted", "refused", "raw", "slow")} | {"faults": faults}
    given.output.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "faults"}))
    for fault in faults[:30]:
        print(
            fault["reader"],
            fault["kind"],
            fault["path"],
            fault["content"][:80],
            fault["message"][-700:],
            sep=" | ",
        )


if __name__ == "__main__":
    main()
