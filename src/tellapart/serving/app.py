"""The endpoints of a service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

import tellapart
from tellapart.serving.docs_page import docs_page
from tellapart.serving.gate import Gate, error_answer
from tellapart.serving.logs import log
from tellapart.serving.model import ServedModel
from tellapart.serving.schemas import (
    ClassifyRequest,
    ClassifyResponse,
    ErrorResponse,
    ModelResponse,
    ReadyResponse,
    RequestError,
    invalid_request,
)
from tellapart.serving.service import Service
from tellapart.serving.settings import ServeSettings

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": meaning}
    for status, meaning in {
        400: "The body cannot be read.",
        401: "The access token is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "The body is too large, has too many texts, or asks for too many classes.",
        421: "Without access tokens: the request is for another host name than localhost.",
        422: "The body is not a request as described, or a text is too long.",
        429: "Too many texts wait; `Retry-After` says in how many seconds to try again.",
        500: "The request failed; the log of the service has its `request_id`.",
        501: "The service cannot explain the answers of its model.",
        503: "The service is stopping, or has to be restarted.",
        504: "The answer took longer than the timeout of the service.",
    }.items()
}

_LARGE = 1000


def create_app(settings: ServeSettings, model: ServedModel, seconds: float = 1.0) -> FastAPI:
    """Builds the application of one process.

    Args:
        settings: The settings.
        model: The model to begin with.
        seconds: Seconds between two looks at the model's files.

    Raises:
        UserError: The token file cannot be used.
    """
    tokens = settings.tokens()
    service = Service(settings, model, seconds)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.holder.start()
        service.reload_on_hangup()
        log(logging.INFO, "ready", model=service.holder.current.version)
        yield
        service.holder.close()
        await asyncio.to_thread(service.batcher.close, settings.timeout)

    app = FastAPI(
        title="tellapart",
        description="Classifies texts with the model of this service.",
        version=tellapart.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Gate, settings=settings, metrics=service.metrics, tokens=tokens)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    _add_endpoints(app, service)
    return app


def _add_endpoints(app: FastAPI, service: Service) -> None:
    @app.post("/v1/classify", response_model=ClassifyResponse, responses=_ERRORS, tags=["model"])
    async def classify(body: ClassifyRequest, request: Request) -> Response:
        """Classify one text or several."""
        content = await service.classify(body, request.state.details)
        if _is_large(content["answers"]):
            return await asyncio.to_thread(_answered, content)
        return _answered(content)

    @app.get(
        "/v1/model",
        response_model=ModelResponse,
        responses={status: _ERRORS[status] for status in (401, 421)},
        tags=["model"],
    )
    async def model() -> Response:
        """Describe the model: classes, metrics, versions."""
        description = service.holder.current.description
        return _json({**description, "reload_failure": service.holder.failure})

    @app.get("/healthz", tags=["operation"], responses={503: {"description": "It has to be restarted."}})
    async def healthz() -> Response:
        """Tell whether the process works."""
        alive = service.batcher.alive
        return _json({"alive": alive}, 200 if alive else 503)

    @app.get(
        "/readyz",
        response_model=ReadyResponse,
        tags=["operation"],
        responses={503: {"model": ReadyResponse, "description": "Requests are not answered."}},
    )
    async def readyz() -> Response:
        """Tell whether requests are answered, and by which model."""
        ready = service.batcher.alive
        reload = "ok" if service.holder.failure is None else "failed"
        content = {"ready": ready, "model": service.holder.current.version, "reload": reload}
        return _json(content, 200 if ready else 503)

    @app.get("/metrics", tags=["operation"], response_class=Response)
    async def metrics() -> Response:
        """Return counts and durations for Prometheus."""
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        address = str(request.base_url).rstrip("/")
        return HTMLResponse(docs_page(app.openapi(), address, needs_token=bool(service.settings.token_file)))


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(_dumped(content).encode(), status, media_type="application/json")


def _dumped(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _answered(content: dict[str, Any]) -> Response:
    """Returns the response to texts. Answers are written one by one, between which other threads have their turn."""
    head = _dumped({"model": content["model"], "answers": []}).removesuffix("]}")
    body = f"{head}{','.join(map(_dumped, content['answers']))}]}}"
    return Response(body.encode(), media_type="application/json")


def _is_large(answers: Sequence[dict[str, Any]]) -> bool:
    """Whether there are so many answers that another thread serialises them, to keep other requests going."""
    return len(answers) + sum(len(answer.get("top", ())) for answer in answers) > _LARGE


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    body, headers = error_answer(error, request.state.request_id)
    return Response(body, error.status, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _refused(request, invalid_request(error.errors()))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause, remedy = _HTTP_CAUSES.get(
        error.status_code, ("the request cannot be answered", "see /docs for the form of a request")
    )
    return await _refused(request, RequestError(error.status_code, cause, remedy, dict(error.headers or {})))


_HTTP_CAUSES = {
    400: ("the body cannot be read", 'send a JSON object in UTF-8, such as {"texts": ["a text"]}'),
    404: ("there is no such path", "see /docs for those that there are"),
    405: ("the path has no such method", "see /docs for the methods of each path"),
}
