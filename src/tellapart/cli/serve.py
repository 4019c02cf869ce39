"""`tellapart serve`: a model as an HTTP service."""

from __future__ import annotations

from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import echo

_ADDRESS, _BATCHES, _LIMITS, _EXPLANATIONS = "Address", "Batches", "Limits", "Explanations"


def serve(
    model: o.Model,
    host: Annotated[
        str,
        o.option(
            "--host", "Address to listen on. One that other machines reach needs --token-file.", _ADDRESS
        ),
    ] = "127.0.0.1",
    port: Annotated[int, o.option("--port", "Port; 0 for a free one.", _ADDRESS)] = 8000,
    token_file: Annotated[
        str | None,
        o.option(
            "--token-file",
            "File with access tokens, one per line; requests need one of them.",
            _ADDRESS,
            "FILE",
        ),
    ] = None,
    workers: Annotated[
        int, o.option("--workers", "Processes, each with a copy of the model and a queue.", _BATCHES)
    ] = 1,
    precision: o.Precision = "auto",
    max_batch: Annotated[int, o.option("--max-batch", "Most texts scored together.", _BATCHES)] = 64,
    max_wait_ms: Annotated[
        float, o.option("--max-wait-ms", "Longest wait for texts to score together, milliseconds.", _BATCHES)
    ] = 5.0,
    max_queue: Annotated[
        int,
        o.option("--max-queue", "Most texts that wait to be scored; above that the status is 429.", _LIMITS),
    ] = 1024,
    max_text_characters: Annotated[
        int, o.option("--max-text-characters", "Longest text in characters.", _LIMITS)
    ] = 100_000,
    max_body_bytes: Annotated[
        int, o.option("--max-body-bytes", "Largest body of a request in bytes.", _LIMITS)
    ] = 1 << 20,
    body_timeout: Annotated[
        float, o.option("--body-timeout", "Longest time for a body to arrive, in seconds.", _LIMITS)
    ] = 10.0,
    timeout: Annotated[
        float, o.option("--timeout", "Longest time from then on to the answer, in seconds.", _LIMITS)
    ] = 30.0,
    max_explain: Annotated[
        int, o.option("--max-explain", "Most texts of a request to explain; 0 for none.", _EXPLANATIONS)
    ] = 8,
    max_explain_characters: Annotated[
        int,
        o.option("--max-explain-characters", "Longest text to explain in characters.", _EXPLANATIONS),
    ] = 2000,
    max_explain_requests: Annotated[
        int,
        o.option(
            "--max-explain-requests",
            "Most requests with explanations at once; above that the status is 429.",
            _EXPLANATIONS,
        ),
    ] = 4,
) -> None:
    """Serve a model over HTTP.

    POST /v1/classify answers as predict does, and on request as explain does.
    The model is loaded again when its files change, and upon SIGHUP. SIGTERM and
    Ctrl-C end the service after the last answer. The path /docs describes
    requests and answers; /metrics, /healthz and /readyz are for monitoring. The
    log is on standard error, without texts.

    Examples:
    tellapart serve runs/tickets
    tellapart serve runs/tickets --port 9000 --workers 2
    tellapart serve tickets-onnx --host 0.0.0.0 --token-file tokens.txt
    """
    from tellapart.serving.settings import ServeSettings, check_packages

    check_packages()
    from tellapart.serving.server import serve as run

    settings = ServeSettings(
        model=model,
        host=host,
        port=port,
        workers=workers,
        token_file=token_file,
        precision=precision,
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        max_queue=max_queue,
        max_text_characters=max_text_characters,
        max_body_bytes=max_body_bytes,
        body_timeout=body_timeout,
        timeout=timeout,
        max_explain=max_explain,
        max_explain_characters=max_explain_characters,
        max_explain_requests=max_explain_requests,
    )
    run(settings, lambda url: echo(f"serving {model} at {url} (documentation: {url}/docs)", flush=True))
