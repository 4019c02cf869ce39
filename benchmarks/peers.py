"""Stock alternatives on the same rows as the methods of a table, as cells of `tellapart reproduce`.

    python benchmarks/peers.py few-shot --output runs/few-shot
    python benchmarks/peers.py few-shot --columns trec6,cr --rows stock-trainer --trials 3 --output runs/few-shot

`stock-trainer` is `transformers.Trainer` with its defaults and the column's epochs, length and batch size. `setfit`
is SetFit with its defaults, at most 300 contrastive steps. Both use the same rows as the other methods with the same
seed. The trials are stored with those of the other methods, where `tellapart reproduce few-shot --output
runs/few-shot --resume` finds them. SetFit is run if it is installed (`pip install setfit`); neither is a dependency
of tellapart.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers

from tellapart.data.examples import TextData, TextSplit
from tellapart.encoders.resolve import resolve_encoder
from tellapart.errors import TellapartError
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.trials import TRIALS, evaluated_split, finished_trial, trial_content, write_trial
from tellapart.recipes import Recipe
from tellapart.reproduction.request import load_protocol, table_request

SETFIT_STEPS = 300
_BATCH = 64


def stock_trainer(recipe: Recipe, data: TextData) -> np.ndarray:
    """Logits (N, K) of `transformers.Trainer`, used as in its documentation."""
    stage, labels, split = recipe.stages[0], data.labels, evaluated_split(data)
    encoder = resolve_encoder(recipe.encoder.name)
    transformers.set_seed(recipe.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=len(labels), problem_type=labels.problem_type
    )
    length = recipe.encoder.max_length or 128

    def tokenised(rows: TextSplit, **columns: Any) -> datasets.Dataset:
        texts = (rows.texts,) if rows.text_pairs is None else (rows.texts, rows.text_pairs)
        return datasets.Dataset.from_dict(
            dict(tokenizer(*texts, truncation=True, max_length=length)) | columns
        )

    assert data.train.labels is not None
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model,
            transformers.TrainingArguments(
                output_dir=folder,
                num_train_epochs=stage.epochs or 3,
                per_device_train_batch_size=stage.batch_size,
                per_device_eval_batch_size=_BATCH,
                save_strategy="no",
                use_cpu=not torch.cuda.is_available(),
                disable_tqdm=True,
                seed=recipe.seed,
            ),
            train_dataset=tokenised(data.train, label=labels.encode(data.train.labels).tolist()),
            processing_class=tokenizer,
        )
        trainer.train()
        return np.asarray(trainer.predict(tokenised(split)).predictions, dtype=np.float64)


def setfit(recipe: Recipe, data: TextData) -> np.ndarray:
    """Log probabilities or log-odds (N, K) of SetFit: their softmax or sigmoid gives its probabilities."""
    from setfit import SetFitModel, Trainer, TrainingArguments

    labels, split = data.labels, evaluated_split(data)
    transformers.set_seed(recipe.seed)
    several = {"multi_target_strategy": "one-vs-rest"} if labels.multi_label else {}
    model = SetFitModel.from_pretrained(resolve_encoder(recipe.encoder.name), **several)
    model.model_body.max_seq_length = recipe.encoder.max_length or 128
    assert data.train.labels is not None
    rows = {"text": data.train.texts, "label": labels.encode(data.train.labels).astype(int).tolist()}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=SETFIT_STEPS,
            save_strategy="no",
            report_to="none",
            show_progress_bar=False,
            seed=recipe.seed,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=datasets.Dataset.from_dict(rows))
        trainer.train()
    found = model.predict_proba(split.texts, batch_size=_BATCH, as_numpy=True)
    probability = np.clip(np.asarray(found, dtype=np.float64), 1e-12, 1 - 1e-12)
    if labels.multi_label:
        return np.log(probability) - np.log1p(-probability)
    logits = np.full((len(split), len(labels)), np.log(1e-12))
    logits[:, np.asarray(model.model_head.classes_, dtype=int)] = np.log(probability)
    return logits


PEERS: dict[str, Callable[[Recipe, TextData], np.ndarray]] = {
    "stock-trainer": stock_trainer,
    "setfit": setfit,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="a name from tellapart reproduce list, or a YAML file")
    parser.add_argument("--output", type=Path, required=True, help="the folder of tellapart reproduce")
    parser.add_argument("--rows", default=",".join(PEERS))
    parser.add_argument("--columns", default="")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--encoder", help="replaces the first encoder of the table")
    given = parser.parse_args()
    name, protocol = load_protocol(given.table)
    role = next(iter(protocol.encoders))
    request = table_request(
        name,
        protocol,
        columns=given.columns.split(",") if given.columns else (),
        encoders={role: given.encoder} if given.encoder else {},
        trials=given.trials,
    )
    for seed in request.seeds:
        for column in request.columns:
            for row in given.rows.split(","):
                if row not in protocol.rows or protocol.why_not(row, column):
                    continue
                recipe = request.recipe(row, column, seed)
                assert isinstance(recipe, Recipe)
                metric = next(iter(protocol.columns[column].metrics))
                print(column, row, seed, run(recipe, given.output / column / TRIALS, metric), flush=True)


def run(recipe: Recipe, folder: Path, metric: str) -> str:
    """Runs one cell unless it exists; failures are reported and do not stop the others."""
    if recipe.method == "setfit" and importlib.util.find_spec("setfit") is None:
        return "skipped: setfit is not installed"
    try:
        data = split_data(recipe, read_rows(recipe))
        done = finished_trial(recipe, data.source, folder)
        if done is None:
            start = time.perf_counter()
            logits = PEERS[recipe.method](recipe, data)
            done = trial_content(recipe, data, data.labels, logits, metric, start=start)
            write_trial(done, recipe, folder)
    except (TellapartError, RuntimeError, ValueError) as error:
        return f"failed: {error}"
    return f"{metric} {done['score']:.4f} in {done['seconds']:.0f} s"


if __name__ == "__main__":
    main()
