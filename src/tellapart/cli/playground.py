"""`tellapart playground`: a page to try a model or two on texts."""

from __future__ import annotations

from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import echo

_ADDRESS, _PAGE = "Address", "Page"


def playground(
    model: o.Model,
    other_model: Annotated[
        str | None,
        o.argument("[OTHER_MODEL]", "Second model, whose answers are shown beside the first one's."),
    ] = None,
    data: Annotated[
        str | None,
        o.option("--data", "Training texts to search. Default: those of the run folder.", "Data", "FILE"),
    ] = None,
    pairs: Annotated[
        bool | None,
        o.option("--pairs/--no-pairs", "Whether texts are pairs. Default: as the model was trained.", "Data"),
    ] = None,
    top: Annotated[int, o.option("--top", "Number of the most probable classes shown.", _PAGE, "N")] = 5,
    precision: o.Precision = "auto",
    host: Annotated[
        str,
        o.option("--host", "Address to listen on. Others than this machine's need --token-file.", _ADDRESS),
    ] = "127.0.0.1",
    port: Annotated[int, o.option("--port", "Port; 0 for a free one.", _ADDRESS)] = 7860,
    token_file: Annotated[
        str | None,
        o.option(
            "--token-file", "Access tokens, one per line; the page then asks for one.", _ADDRESS, "FILE"
        ),
    ] = None,
    max_text_characters: Annotated[
        int, o.option("--max-text-characters", "Longest text in characters.", _PAGE)
    ] = 20_000,
) -> None:
    """Try a model or two on texts, on a page in the browser.

    The answers are those of predict, with the words of explain and the nearest
    training texts. Nothing leaves this machine, and no text is stored.

    Examples:
    tellapart playground runs/tickets
    tellapart playground runs/contrast runs/cross-entropy
    tellapart playground runs/tickets --data tickets.csv --port 0
    """
    from tellapart.playground.server import playground as run
    from tellapart.playground.settings import PlaygroundSettings

    settings = PlaygroundSettings(
        models=(model,) if other_model is None else (model, other_model),
        data=data,
        pairs=pairs,
        top=top,
        precision=precision,
        host=host,
        port=port,
        token_file=token_file,
        max_text_characters=max_text_characters,
    )
    named = model if other_model is None else f"{model} and {other_model}"
    run(settings, lambda url: echo(f"{named}: open {url} in a browser; Ctrl-C ends it", flush=True))
