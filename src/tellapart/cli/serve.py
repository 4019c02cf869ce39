"""`tellapart serve`: a model as an HTTP service."""

from __future__ import annotations

from typing import Annotated

from tellapart.cli import options as o

_ADDRESS, _BATCHES, _LIMITS = "Address", "Batches", "Limits"


def serve(
    model: o.Model,
    host: Annotated[
        str,
        o.option("--host", "Address to listen on. Others than this machine's need --token-file.", _ADDRESS),
    ] = "127.0.0.1",
    port: Annotated[int, o.option("--port", "Port; 0 for a free one.", _ADDRESS)] = 8000,
    token_file: Annotated[
        str | None,
        o.option(
            "--token-file", "Access tokens, one per line; requests then need one of them.", _ADDRESS, "FILE"
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
        int, o.option("--max-queue", "Most texts that wait; above that the status is 429.", _LIMITS)
    ] = 1024,
    max_text_characters: Annotated[
        int, o.option("--max-text-characters", "Longest text in characters.", _LIMITS)
    ] = 100_000,
    max_body_bytes: Annotated[
        int, o.option("--max-body-bytes", "Largest body of a request in bytes.", _LIMITS)
    ] = 1 << 20,
    timeout: Annotated[float, o.option("--timeout", "Longest time of a request in seconds.", _LIMITS)] = 30.0,
) -> None:
    """Serve a model over HTTP.

    POST /v1/classify answers as predict does. A changed model folder is
    reloaded, and so it is upon SIGHUP. SIGTERM ends the service after the last
    answer. The documentation is at /docs, .

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
        timeout=timeout,
    )
    run(settings, lambda url: print(f"serving {model} at {url} (documentation: {url}/docs)", flush=True))
