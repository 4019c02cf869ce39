"""SetFit as in its documentation; run by setfit_runs.py in an environment with setfit.

Prints one line of JSON: the seconds of training on the clock and of the processor, the accuracy on the test rows, the
versions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import datasets
import numpy as np
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("encoder")
    parser.add_argument("--steps", type=int, default=-1, help="-1, its default: one pass over the pairs")
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    datasets.disable_progress_bars()
    splits = json.loads(given.rows.read_text(encoding="utf-8"))
    model = SetFitModel.from_pretrained(given.encoder)
    model.model_body.max_seq_length = given.max_length
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            max_steps=given.steps,
            seed=given.seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        trainer = Trainer(
            model=model, args=arguments, train_dataset=datasets.Dataset.from_dict(splits["train"])
        )
        start, processor = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    predicted = np.asarray(model.predict(splits["test"]["text"], show_progress_bar=False))
    accuracy = float((predicted == np.asarray(splits["test"]["label"])).mean())
    versions = {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch")}
    measured = {"seconds": seconds, "processor_seconds": processor, "accuracy": accuracy}
    print(json.dumps({**measured, "versions": versions}))


if __name__ == "__main__":
    main()
