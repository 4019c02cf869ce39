"""Metrics of a service for Prometheus."""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from tellapart.serving.settings import METRICS_FOLDER

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class ServiceMetrics:
    """Counts requests, texts and batches.

    Attributes:
        requests: Answered requests by `path` and `status`.
        seconds: Time to answer, by `path`.
        texts: Classified texts.
        batches: Texts per scored group.
        scoring: Seconds per scored group.
        explaining: Seconds per explained text.
        queue: Texts that wait.
        reloads: Reloads of the model by `outcome`: `done` or `failed`.
        models: Processes that answer with each `version` of the model.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # a second series per counter that tells nothing
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tellapart_requests", "Answered requests.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "tellapart_request_seconds", "Time to answer.", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.texts = Counter("tellapart_texts", "Classified texts.", registry=self.registry)
        self.batches = Histogram(
            "tellapart_batch_texts", "Texts scored together.", buckets=_TEXTS, registry=self.registry
        )
        self.scoring = Histogram(
            "tellapart_scoring_seconds",
            "Time to score texts together.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.explaining = Histogram(
            "tellapart_explaining_seconds",
            "Time to explain a text.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue = Gauge(
            "tellapart_queue_texts",
            "Texts that wait.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.reloads = Counter(
            "tellapart_reloads", "Reloads of the model.", ["outcome"], registry=self.registry
        )
        self.models = Gauge(
            "tellapart_model_processes",
            "Processes that answer with this version of the model.",
            ["version"],
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        if METRICS_FOLDER not in os.environ:
            ProcessCollector(registry=self.registry)

    def scored(self, texts: int, seconds: float) -> None:
        """Counts a group of texts that was scored."""
        self.texts.inc(texts)
        self.batches.observe(texts)
        self.scoring.observe(seconds)

    def exposition(self) -> bytes:
        """Returns the numbers in Prometheus' text format, those of all processes together."""
        if METRICS_FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)
