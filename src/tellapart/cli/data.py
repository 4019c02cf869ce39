"""`tellapart data`: registered benchmark sets."""

from __future__ import annotations

from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.verbs import Verbs

app = Verbs(no_args_is_help=True, help="List and fetch benchmark sets.")

_ARXIV = "arXiv"


@app.command("list")
def list_sets(json: o.Json = False) -> None:
    """List the registered benchmark sets."""
    from dataclasses import asdict

    from tellapart.cli.tables import print_json, show_sets
    from tellapart.data.benchmarks.registry import registered

    sets = list(registered().values())
    if json:
        print_json([asdict(one) for one in sets])
    else:
        show_sets(sets)


@app.command("fetch")
def fetch_set(
    name: Annotated[str, o.argument("NAME", "A name from `tellapart data list`.")],
    first: Annotated[
        str | None,
        o.option("--from", "First day or month of the papers: 2019-01-31 or 2019-01.", _ARXIV, "DAY"),
    ] = None,
    last: Annotated[str | None, o.option("--to", "Last day or month of the papers.", _ARXIV, "DAY")] = None,
    archive: Annotated[
        str | None, o.option("--archive", "Archive of the papers and their categories. Default: cs.", _ARXIV)
    ] = None,
    seed: Annotated[
        int | None, o.option("--seed", "Seed of the split of the papers. Default: 0.", _ARXIV, min=0)
    ] = None,
    json: o.Json = False,
) -> None:
    """Fetch a benchmark set into the cache and print its folder.

    Papers from arXiv are saved day by day: the same command resumes a download.

    Examples:
    tellapart data fetch r8
    tellapart data fetch arxiv --from 2019-01 --to 2019-03 --archive cs
    """
    from tellapart.cli.tables import print_json
    from tellapart.data.benchmarks.registry import fetch, fetch_arxiv
    from tellapart.errors import UserError

    if (first, last, archive, seed) == (None, None, None, None):
        folder = fetch(name)
    elif name != "arxiv":
        raise UserError(
            f"--from, --to, --archive and --seed do not apply to {name}", "leave them out, or fetch arxiv"
        )
    elif first is None or last is None:
        raise UserError("the days of the papers are missing", "give both --from and --to")
    else:
        folder = fetch_arxiv(first, last, archive or "cs", seed or 0)
    if json:
        print_json({"name": name, "folder": str(folder)})
    else:
        print(folder)
