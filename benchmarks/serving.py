"""Load test of `tellapart serve` on loopback, beside `transformers.pipeline` behind an equal FastAPI application.

    python benchmarks/serving.py --clients 200 --seconds 300
    python benchmarks/serving.py --clients 200 --seconds 60 --event reload
    python benchmarks/serving.py --clients 200 --seconds 60 --event kill --workers 2
    python benchmarks/serving.py --clients 20 --seconds 5 --encoder tfidf --arms tellapart

A classifier is trained briefly on banking77, and a second one with another seed. Each arm is a process of its own.
First one client sends single texts for a tenth of the time, then C clients do, each its next one when the last was
answered. Requests, errors and latencies are counted. Every answer is compared with the scores of `tellapart predict`
for that text and that model: label and probability must be equal up to the rounding of the precision.

- `tellapart`: `tellapart serve` with its defaults and `--precision`.
- `pipeline`: `transformers.pipeline("text-classification")` behind FastAPI and uvicorn, one text per call, in
  threads of the server, as its documentation shows; the same truncation.

`--event reload` replaces the model's folder by the other model in the middle, and back again; `--event kill` kills a
worker in the middle with SIGKILL. Results go to benchmarks/results/serving.json, under the name of the event.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from evidence import RESULTS
from tellapart.data.examples import TextSplit
from tellapart.data.reading.rows import read_data
from tellapart.encoders.precision import Precision
from tellapart.evaluation.metrics import probabilities
from tellapart.files import write_json
from tellapart.fitting.environment import environment
from tellapart.fitting.loading import load_fitted
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.train import train
from tellapart.serving.model import load_model

# Largest difference of probabilities that padding and rounding explain.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.05, "auto": 0.05}

PIPELINE = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

classifier = pipeline("text-classification", sys.argv[1])
app = FastAPI()

class Body(BaseModel):
    texts: str
    top_k: int = 0

@app.post("/v1/classify")
def classify(body: Body):
    (answer,) = classifier([body.texts], truncation=True)
    return {"model": "", "answers": [{"predicted_label": answer["label"], "probability": answer["score"]}]}

@app.get("/readyz")
def readyz():
    return {"ready": True}

uvicorn.run(app, port=int(sys.argv[2]), access_log=False)
"""


@dataclass
class Load:
    """Answers, errors and latencies that the clients counted."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)
    versions: Counter = field(default_factory=Counter)
    wrong: int = 0
    unknown: int = 0
    largest_difference: float = 0.0

    def summary(self, seconds: float) -> dict[str, Any]:
        milliseconds = 1000 * np.array(self.latencies or [np.nan])
        return {
            "requests_per_second": len(self.latencies) / seconds,
            **{f"p{q}_ms": float(np.percentile(milliseconds, q)) for q in (50, 95, 99)},
            "answers": len(self.latencies),
            "statuses": dict(self.statuses),
            "wrong_answers": self.wrong,
            "largest_difference": self.largest_difference,
            "models": dict(self.versions),
        }


class Wanted:
    """Returns the answers of `predict` for each model, in float32 and in its own batches."""

    def __init__(self, runs: list[Path], texts: list[str], precision: Precision) -> None:
        self.tolerance = TOLERANCE[precision]
        self.rows: dict[str, dict[str, tuple[str, float, float]]] = {}
        for run in runs:
            fitted = load_fitted(run).in_precision(precision)
            chances = probabilities(fitted.labels, fitted.scores(TextSplit(texts)))
            order = np.argsort(-chances, axis=1)
            self.rows[load_model(str(run)).version] = {
                text: (fitted.labels.names[best], float(row[best]), float(row[best] - row[second]))
                for text, row, (best, second) in zip(texts, chances, order[:, :2], strict=True)
            }

    def check(self, load: Load, text: str, content: dict[str, Any]) -> None:
        version = content["model"] or next(iter(self.rows))
        load.versions[version] += 1
        if version not in self.rows:
            load.wrong += 1
            return
        label, probability, margin = self.rows[version][text]
        (answer,) = content["answers"]
        difference = abs(answer["probability"] - probability)
        if answer["predicted_label"] == label:
            load.largest_difference = max(load.largest_difference, difference)
            load.wrong += difference > self.tolerance
        else:
            load.wrong += margin > 2 * self.tolerance


async def clients(
    url: str, texts: list[str], wanted: Wanted, count: int, seconds: float, event: Any = None
) -> Load:
    """Sends texts by a number of clients for some time."""
    load, numbers = Load(), itertools.count()
    limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        end = time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < end:
                text = texts[next(numbers) % len(texts)]
                started = time.perf_counter()
                try:
                    response = await http.post("/v1/classify", json={"texts": text})
                except httpx2.TransportError as error:
                    load.statuses[type(error).__name__] += 1
                    await asyncio.sleep(0.05)
                    continue
                load.statuses[str(response.status_code)] += 1
                if response.status_code == 200:
                    load.latencies.append(time.perf_counter() - started)
                    wanted.check(load, text, response.json())

        running = [one() for _ in range(count)]
        if event is not None:
            running.append(event(seconds))
        await asyncio.gather(*running)
    return load


@contextlib.contextmanager
def serving(arm: str, run: Path, given: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Starts the server of an arm; yields its address and its log."""
    log = Path(tempfile.mkstemp(suffix=".log")[1])
    port = free_port()
    if arm == "tellapart":
        command = ["-m", "tellapart", "serve", str(run), "--port", str(port)]
        command += ["--workers", str(given.workers), "--precision", given.precision, *given.option]
    else:
        command = ["-c", PIPELINE, str(run / "model"), str(port)]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *command], stdout=file, stderr=file)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        yield url, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        log.unlink()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(url + "/readyz").status_code == 200:
                return
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def put(source: Path, run: Path) -> None:
    """Replaces the model of a run folder by a rename."""
    shutil.copytree(source / "model", run / ".next")
    (run / "model").rename(run / ".last")
    (run / ".next").rename(run / "model")
    shutil.rmtree(run / ".last")


def event_of(name: str, run: Path, models: list[Path], log: Path) -> Any:
    """Returns what happens in the middle of the load; None for nothing."""

    async def reload(seconds: float) -> None:
        for model in (models[1], models[0]):
            await asyncio.sleep(seconds / 3)
            await asyncio.to_thread(put, model, run)

    async def kill(seconds: float) -> None:
        await asyncio.sleep(seconds / 2)
        workers = re.findall(r"Started server process \[(\d+)\]", log.read_text())
        os.kill(int(workers[-1]), signal.SIGKILL)

    return {"reload": reload, "kill": kill, "none": None}[name]


def measure(arm: str, models: list[Path], texts: list[str], given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(models[0], Path(folder) / "run"))
        wanted = Wanted(models, texts, "fp32" if arm == "pipeline" else given.precision)
        with serving(arm, run, given) as (url, log):
            asyncio.run(clients(url, texts, wanted, 2, min(2.0, given.seconds / 10)))  # not counted
            alone = asyncio.run(clients(url, texts, wanted, 1, given.seconds / 10))
            event = None if arm == "pipeline" else event_of(given.event, run, models, log)
            started = time.perf_counter()
            load = asyncio.run(clients(url, texts, wanted, given.clients, given.seconds, event))
            seconds = time.perf_counter() - started
        return {"single_client": alone.summary(given.seconds / 10), "load": load.summary(seconds)}


def trained(folder: Path, given: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """Trains two models of different seeds; returns their folders and the test texts."""
    data = read_data(given.data)
    assert data.test is not None
    models = []
    for seed in (0, 1):
        settings = [
            f"data.source={given.data}",
            f"seed={seed}",
            f"data.train_rows={given.rows}",
            "data.test_rows=256",
        ]
        method = "tfidf" if given.encoder == "tfidf" else "cross-entropy"
        if method != "tfidf":
            settings += [f"encoder.name={given.encoder}", "stages.0.epochs=1"]
        models.append(folder / f"seed{seed}")
        train(with_values(method_recipe(method), settings), models[-1], quiet=True)
    return models, list(dict.fromkeys(data.test.texts))[: given.texts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--rows", type=int, default=1000, help="training rows")
    parser.add_argument("--texts", type=int, default=1000, help="different texts that are sent")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", default="auto", choices=sorted(TOLERANCE))
    parser.add_argument("--arms", default="tellapart,pipeline")
    parser.add_argument("--event", default="none", choices=["none", "reload", "kill"])
    parser.add_argument("--option", action="append", default=[], help="further option of tellapart serve")
    parser.add_argument("--output", type=Path, default=RESULTS / "serving.json")
    given = parser.parse_args()
    if given.event == "kill" and given.workers < 2:
        parser.error("--event kill needs --workers 2")
    results = json.loads(given.output.read_text()) if given.output.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        models, texts = trained(Path(folder), given)
        arms = {arm: measure(arm, models, texts, given) for arm in given.arms.split(",")}
    settings = {name: str(value) for name, value in vars(given).items() if name != "output"}
    results[given.event] = {"settings": settings, "environment": environment(), "arms": arms}
    write_json(given.output, results)
    print(json.dumps(results[given.event], indent=2))


if __name__ == "__main__":
    main()
