"""`tellapart synonyms`: synonym tables for pre-training with corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tellapart.cli import options as o
from tellapart.cli.messages import echo
from tellapart.cli.verbs import Verbs

app = Verbs(no_args_is_help=True, help="Build and inspect synonym tables for pre-training.")


_TABLE_HELP = "A file from `tellapart synonyms build`, or wordnet: the table that comes with tellapart."


@app.command("build")
def build_table(
    output: Annotated[Path, o.option("--output", "File to write.", metavar="FILE")],
    encoder: o.Encoder = None,
    source: Annotated[
        Literal["wordnet", "vectors"], o.option("--source", "WordNet, or the neighbours of word vectors.")
    ] = "wordnet",
    wordnet: Annotated[
        Path | None,
        o.option("--wordnet", "Folder of WordNet's files. Default: the usual places.", metavar="FOLDER"),
    ] = None,
    vectors: Annotated[
        Path | None, o.option("--vectors", "Word vectors: GloVe, or word2vec text or binary.", metavar="FILE")
    ] = None,
    neighbours: Annotated[
        int, o.option("--neighbours", "For --source vectors: number of synonyms per word.", min=1)
    ] = 10,
    keep_stop_words: Annotated[
        bool, o.option("--keep-stop-words", "Keep English stop words, as masked and as predicted words.")
    ] = False,
    symmetric: Annotated[bool, o.option("--symmetric", "Add the reverse of every pair of words.")] = False,
    json: o.Json = False,
) -> None:
    """Build a synonym table for the vocabulary of an encoder.

    Examples:
    tellapart synonyms build --encoder minilm --output synonyms.safetensors
    tellapart synonyms build --source vectors --vectors glove.txt --output FILE
    """
    from tellapart.encoders.loading import load_tokenizer
    from tellapart.errors import RecipeError
    from tellapart.pretraining.synonyms import build_wordnet_table
    from tellapart.pretraining.vectors import build_vector_table
    from tellapart.wordnet.reader import WordNet

    if (vectors is not None) != (source == "vectors"):
        raise RecipeError(
            "--vectors and --source vectors need each other",
            "give --source vectors --vectors FILE, or neither",
        )
    tokenizer = load_tokenizer(encoder or "minilm")
    stop_words = not keep_stop_words
    if vectors is None:
        table = build_wordnet_table(tokenizer, WordNet(wordnet), stop_words=stop_words, symmetric=symmetric)
    else:
        table = build_vector_table(
            tokenizer, vectors, neighbours=neighbours, stop_words=stop_words, symmetric=symmetric
        )
    table.save(output)
    if json:
        from tellapart.cli.tables import print_json

        print_json({"file": str(output), "source": table.source, **table.stats()})
    else:
        echo(f"{table.source}: {len(table):,} pairs, written to {output}")


@app.command("inspect")
def inspect_table(
    table: Annotated[str, o.argument("TABLE", _TABLE_HELP)],
    words: Annotated[list[str], o.argument("WORD…", "Words of the vocabulary.")],
    encoder: o.Encoder = None,
    json: o.Json = False,
) -> None:
    """Show the synonyms of words, and the words they are a synonym of.

    Examples:
    tellapart synonyms inspect wordnet primary stayed
    """
    from tellapart.cli.tables import print_json
    from tellapart.encoders.loading import load_tokenizer
    from tellapart.pretraining.synonyms import word_synonyms
    from tellapart.pretraining.tables import synonym_table

    tokenizer = load_tokenizer(encoder or "minilm")
    loaded = synonym_table(table, tokenizer)
    found = [word_synonyms(loaded, tokenizer, word) for word in words]
    if json:
        print_json(
            [{"word": one.word, "synonyms": one.synonyms, "synonym_of": one.synonym_of} for one in found]
        )
        return
    for one in found:
        echo(one.word)
        echo(f"  synonyms:   {', '.join(one.synonyms) or '–'}")
        echo(f"  synonym of: {', '.join(one.synonym_of) or '–'}")


@app.command("stats")
def count_table(
    table: Annotated[str, o.argument("TABLE", _TABLE_HELP)] = "wordnet", json: o.Json = False
) -> None:
    """Count how much of the vocabulary a table covers.

    Examples:
    tellapart synonyms stats
    tellapart synonyms stats synonyms.safetensors --json
    """
    from tellapart.cli.layout import show_table
    from tellapart.cli.tables import print_json
    from tellapart.pretraining.synonyms import SynonymTable
    from tellapart.pretraining.tables import WORDNET, shipped_table

    loaded = shipped_table() if table == WORDNET else SynonymTable.load(table)
    counts = loaded.stats()
    if json:
        print_json({"source": loaded.source, "options": dict(loaded.options), **counts})
        return
    others = counts["vocabulary"] - counts["stop_words"]

    def row(name: str, count: int, share: bool = True) -> list[str]:
        return [name, f"{count:,}", f"{count / max(others, 1):.2%}" if share else ""]

    show_table(
        [
            [loaded.source, "count", "share"],
            row("tokens", counts["vocabulary"], share=False),
            row("stop words, left out", counts["stop_words"], share=False),
            row("other tokens", others),
            row("known to the source", counts["in_source"]),
            row("with a synonym that is a token", counts["with_synonyms"]),
            row("pairs", counts["pairs"], share=False),
        ]
    )
