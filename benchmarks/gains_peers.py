"""The peers declared in gains.yaml beside the recommended method, on the same rows of a seed.

    OMP_NUM_THREADS=1 python benchmarks/gains_peers.py --setfit-python path/to/environment/bin/python

Peers learn from the training and the validation rows together. SetFit (1.2, Tunstall et al. 2022, Efficient Few-Shot
Learning Without Prompts) is run by benchmarks/setfit_peer.py in a separate environment. Times are those of training
alone, in seconds of the processor: with one thread this is the time on an idle core, also if another process runs on
the machine. Results go to benchmarks/results/gains/peers.json after every run; finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import transformers

from gains import FOLDER, arms_of, protocol, recipe_for
from pairs import write
from setfit_runs import setfit_run
from tellapart.data.examples import TextData
from tellapart.encoders.resolve import resolve_encoder
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import read_rows, split_data
from tellapart.recipes import Recipe, compared_recipes, method_recipe
from tellapart.training.defaults import MAX_LENGTH

TARGET = FOLDER / "peers.json"
EPOCHS = (1, 2, 3, 5, 8, 13, 21, 34)
Result = dict[str, Any]


def trainer(recipe: Recipe, data: TextData, steps: int | None) -> Result:
    """`transformers.Trainer` as in its documentation."""
    assert data.test is not None
    encoder, labels = resolve_encoder(recipe.encoder.name), data.labels
    transformers.set_seed(recipe.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=len(labels))
    length = recipe.encoder.max_length or MAX_LENGTH
    rows = {
        name: datasets.Dataset.from_dict(
            dict(tokenizer(split.texts, truncation=True, max_length=length))
            | {"label": labels.encode(split.labels or []).tolist()}
        )
        for name, split in (("train", data.train), ("test", data.test))
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=steps or -1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=recipe.seed,
        )
        stock = transformers.Trainer(
            model, arguments, train_dataset=rows["train"], processing_class=tokenizer
        )
        timed = _timed(stock.train)
        found = np.asarray(stock.predict(rows["test"]).predictions).argmax(1)
    return {**timed, "accuracy": _accuracy(found, data)}


def own(recipe: Recipe, data: TextData) -> Result:
    """A method of tellapart, without the first of two trainings, which only measures: the peers measure nothing."""
    assert data.test is not None
    kept: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        timed = _timed(lambda: kept.append(fit(recipe, data, folder, quiet=True, validated=False)))
    return {**timed, "accuracy": _accuracy(kept[0].scores(data.test).argmax(1), data)}


def _timed(train: Callable[[], Any]) -> Result:
    start, processor = time.perf_counter(), time.process_time()
    train()
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - processor,
    }


def _accuracy(found: np.ndarray, data: TextData) -> float:
    assert data.test is not None
    return float((found == data.labels.encode(data.test.labels or [])).mean())


def measured(name: str, seed: int, row: dict[str, Any], python: str) -> Result:
    """One run of a row of the table on a seed of a set."""
    declared = protocol()
    recipe = recipe_for(declared, name).model_copy(update={"seed": seed})
    data = split_data(recipe, read_rows(recipe))
    assert data.validation is not None
    everything = replace(data, train=data.train.joined(data.validation), validation=None)
    if row["tool"] == "setfit":
        length = recipe.encoder.max_length or MAX_LENGTH
        run = setfit_run(everything, python=python, seed=seed, steps=row.get("steps"), max_length=length)
        return {name: value for name, value in run.items() if name != "process_seconds"}
    if row["tool"] == "trainer":
        return trainer(recipe, everything, row.get("steps"))
    if row["tool"] == "tfidf":
        return own(method_recipe("tfidf", recipe), everything)
    arm = arms_of(declared, name)[row.get("arm", "recommended")]
    ours = list(compared_recipes(recipe, ["cross-entropy", arm]).values())[1]
    rows = split_data(ours, read_rows(ours))  # the same labelled rows, perhaps with texts without labels
    if row["tool"] == "tellapart until":
        return reaching(ours, rows, _accuracy_of(row["row"], name, seed))
    return own(ours, rows)


def reaching(recipe: Recipe, data: TextData, accuracy: float) -> Result:
    """The shortest training with at least some accuracy on the test rows: a time, not a way to choose a model.

    Each number of epochs is trained from the start; if none reaches the accuracy, the most accurate is returned.
    """
    runs = []
    for epochs in EPOCHS:
        stage = recipe.stages[0].model_copy(update={"epochs": float(epochs)})
        shorter = recipe.model_copy(update={"stages": [stage, *recipe.stages[1:]]})
        runs.append({"epochs": epochs, **own(shorter, data)})
        if runs[-1]["accuracy"] >= accuracy:
            return {**runs[-1], "reached": True}
    return {**max(runs, key=lambda run: run["accuracy"]), "reached": False}


def _accuracy_of(row: str, name: str, seed: int) -> float:
    """The accuracy of another row on record.

    Raises:
        SystemExit: It has not been run.
    """
    runs = json.loads(TARGET.read_text(encoding="utf-8"))["runs"]
    for run in runs:
        if (run["row"], run["set"], run["seed"]) == (row, name, seed):
            return run["accuracy"]
    raise SystemExit(f"{row} has not been run on {name} with seed {seed}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setfit-python", required=True, help="Python of an environment with setfit 1.2")
    parser.add_argument("--sets", help="some of the declared sets, comma-separated")
    parser.add_argument("--row", action="append", help="a declared row; may be given several times")
    given = parser.parse_args()
    declared = protocol()
    peers = declared["peers"]
    wanted = given.row or peers["rows"]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    done = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.is_file() else {"runs": []}
    for name in given.sets.split(",") if given.sets else peers["sets"]:
        for seed in range(declared["first_seed"], declared["first_seed"] + peers["seeds"]):
            for title, row in peers["rows"].items():
                key = {"set": name, "row": title, "seed": seed}
                known = any(key.items() <= run.items() for run in done["runs"])
                if known or title not in wanted or title in peers["left_out"].get(name, ()):
                    continue
                run = {**key, **measured(name, seed, row, given.setfit_python)}
                done["versions"] = {**done.get("versions", {}), **run.pop("versions", {})}
                done["runs"].append(run)
                write(TARGET, {**done, "environment": environment()})
                print(json.dumps(run), flush=True)


if __name__ == "__main__":
    main()
