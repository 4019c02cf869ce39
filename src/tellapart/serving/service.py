"""State of one process of a service: its model, its queue, its metrics, and the way from a request to the answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tellapart.errors import DataError, UserError
from tellapart.serving.batching import Batcher, ClosedError, EndedError, QueueFullError
from tellapart.serving.explaining import Explainer
from tellapart.serving.files import file_stamps
from tellapart.serving.metrics import ServiceMetrics
from tellapart.serving.model import ServedModel, Text, load_model
from tellapart.serving.reloading import ModelHolder
from tellapart.serving.schemas import ClassifyRequest, RequestError, texts_of
from tellapart.serving.settings import ServeSettings

_AGAIN = {"retry-after": "1"}


class Service:
    """State of one process: the model, the queue, the metrics.

    Args:
        settings: The settings.
        model: The model to begin with.
        seconds: Seconds between two looks at the model's files.
    """

    def __init__(self, settings: ServeSettings, model: ServedModel, seconds: float) -> None:
        self.settings = settings
        self.metrics = ServiceMetrics()
        self.holder = ModelHolder(
            model,
            lambda: load_model(settings.model, settings.precision),
            lambda: file_stamps(settings.model),
            self.metrics,
            seconds=seconds,
        )
        self.batcher = Batcher(
            max_batch=settings.max_batch,
            max_wait=settings.max_wait_ms / 1000,
            max_queue=settings.max_queue,
            scored=self.metrics.scored,
            waiting=self.metrics.queue.set,
        )
        self._explained_requests = 0

    async def classify(self, request: ClassifyRequest, details: dict[str, Any]) -> dict[str, Any]:
        """Answers a request.

        Args:
            request: The request.
            details: Receives the number of texts and the version of the model, for the log.

        Raises:
            RequestError: It cannot be answered.
        """
        model = self.holder.current
        texts = texts_of(request, model, self.settings)
        details |= {"texts": len(texts), "model": model.version}
        explaining = self._place_to_explain() if request.explain else contextlib.nullcontext()
        try:
            with explaining:
                async with asyncio.timeout(self.settings.timeout):
                    explainer = await _explainer(model) if request.explain else None
                    answers = await asyncio.wrap_future(self.batcher.submit(model, texts))
                    if explainer is not None:
                        await self._explain(explainer, texts, answers)
                        details["explained"] = len(texts)
        except QueueFullError:
            raise RequestError(429, "too many texts wait", "try again in a second", _AGAIN) from None
        except ClosedError:
            raise RequestError(503, "the service is stopping", "try again", _AGAIN) from None
        except EndedError:
            raise RequestError(
                503, "the thread that scores texts has ended", "restart the service; its log says why"
            ) from None
        except TimeoutError:
            raise RequestError(
                504,
                f"there was no answer within {self.settings.timeout:g} seconds",
                "send fewer texts at once, or try again when there are fewer requests",
            ) from None
        except DataError as error:  # of another error the request is not the cause
            raise RequestError(422, error.cause, error.remedy) from error
        return {"model": model.version, "answers": answers}

    def reload_on_hangup(self) -> None:
        """Has SIGHUP reload the model, where the system has it and this is the main thread."""
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.holder.reload)

    async def _explain(
        self, explainer: Explainer, texts: Sequence[Text], answers: Sequence[dict[str, Any]]
    ) -> None:
        """Adds explanations to answers.

        The thread that scores gets one text at a time, and has a batch of other requests before the next.
        """
        for text, answer in zip(texts, answers, strict=True):
            label = answer.get("predicted_label")
            call = self.batcher.call(
                lambda text=text, label=label: self._timed(explainer, text, label)  # type: ignore[misc]
            )
            answer["explanation"] = await asyncio.wrap_future(call)

    def _timed(self, explainer: Explainer, text: Text, label: str | list[str] | None) -> Any:
        started = time.monotonic()
        found = explainer.explanation(text.text, text.pair, label if isinstance(label, str) else None)
        if found is not None:
            self.metrics.explaining.observe(time.monotonic() - started)
        return found

    @contextlib.contextmanager
    def _place_to_explain(self) -> Iterator[None]:
        """Takes one of the places of requests with explanations."""
        if self._explained_requests >= self.settings.max_explain_requests:
            raise RequestError(
                429, "too many requests wait for explanations", "try again in a second", _AGAIN
            )
        self._explained_requests += 1
        try:
            yield
        finally:
            self._explained_requests -= 1


async def _explainer(model: ServedModel) -> Explainer:
    """Returns what explains a model; it may have to be imported first, while other requests are answered."""
    try:
        return await asyncio.to_thread(model.explainer)
    except UserError as error:
        raise RequestError(501, error.cause, error.remedy) from None
