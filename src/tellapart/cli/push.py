"""`tellapart push`: uploads a model to the Hugging Face Hub."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import echo, print_notes

_SHOWN = 20  # files that are left out


def push(
    model: o.Model,
    repository: Annotated[str, o.argument("REPO", "Repository on the Hub: owner/name.")],
    public: Annotated[
        bool,
        o.option(
            "--public", "Create a repository that anyone can read, or send to one. Default: private.", "Push"
        ),
    ] = False,
    include: Annotated[
        list[str],
        o.option(
            "--include",
            "Further file of the model or run folder to send, such as report.html, which has texts of the data. May "
            "be repeated.",
            "Push",
            "FILE",
        ),
    ] = [],  # noqa: B006  typer copies it
    yes: Annotated[bool, o.option("--yes", "Send without asking.", "Push")] = False,
    json: o.Json = False,
) -> None:
    """Upload a model to the Hugging Face Hub, into a private repository.

    Only the files of the model are sent: no data, no report, no predictions,
    no pickles. They are listed first, and so are files that are left out. Log
    in with `hf auth login`, or set HF_TOKEN.

    Examples:
    tellapart push runs/tickets me/tickets
    tellapart push runs/tickets me/tickets --include report.html --yes
    """
    from tellapart.deployment.hub import prepare_upload
    from tellapart.deployment.hub import push as run
    from tellapart.errors import UserError

    upload = prepare_upload(model, include)
    visibility = "public" if public else "private"
    echo(f"to {repository} ({visibility}), from {upload.folder}:", file=sys.stderr)
    for name, file in upload.files.items():
        echo(f"  {file.stat().st_size:>13,} bytes  {name}", file=sys.stderr)
    echo(f"  {upload.size:>13,} bytes in {len(upload.files)} files", file=sys.stderr)
    left_out = [f"{name} {reason}" for name, reason in upload.left_out.items()]
    more = [f"and {len(left_out) - _SHOWN} more files"] if len(left_out) > _SHOWN else []
    print_notes([f"Left out: {one}." for one in [*left_out[:_SHOWN], *more]])
    print_notes(upload.remarks)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(
                "nothing was sent, since there is no terminal to ask", "use --yes to send the files"
            )
        if not typer.confirm("Send these files?", err=True):
            raise typer.Exit(1)
    url = run(upload, repository, public=public)
    if json:
        from tellapart.cli.tables import print_json

        files = {"files": list(upload.files), "left_out": upload.left_out}
        print_json({"url": url, **files, "bytes": upload.size})
        return
    echo(f"written to {url}")
