"""`plackett rank`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import click

from plackett.cli.console import plain, show
from plackett.cli.options import COLUMNS, MODEL, model_options, say
from plackett.cross_encoder import CrossEncoder, RankedDocument, give_back
from plackett.data import Columns, read_records
from plackett.engines.loading import Options
from plackett.errors import DataError, InputError

Record = tuple[str, Mapping[str, Any] | None]  # a text, and the row that contains it


@click.command()
@click.argument("query")
@click.argument("documents", nargs=-1)
@click.option(
    "--documents",
    "source",
    type=click.File("rb"),
    help="A file: one document per line, or .jsonl, .json, .csv, .tsv, .parquet; also .gz. A search engine's JSON "
    "response is read as its hits. - reads standard input.",
)
@COLUMNS
@MODEL
@click.option("--activation", help="identity, sigmoid, tanh or calibrated.  [default: the checkpoint's own]")
@click.option("--top-k", type=int, help="Show only the top K documents.")
@click.option("--min-score", type=float, help="Show only documents that score at least this, as printed by --json.")
@model_options
@click.option("--explain", is_flag=True, help="Show what each sentence adds to the logit, for the top 5 or --top-k.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object per document, with corpus_id, score, text, and the row and id from the file.",
)
def rank(
    query: str,
    documents: tuple[str, ...],
    source: BinaryIO | None,
    columns: Columns,
    model: str | None,
    activation: str | None,
    top_k: int | None,
    min_score: float | None,
    options: Options,
    explain: bool,
    as_json: bool,
) -> None:
    """Rank DOCUMENTS for QUERY, best first.

    \b
    plackett rank "how to sort a list" "list.sort sorts in place" "dict.get returns a value"
    plackett rank "how to sort a list" --documents my-documents.txt --model models/mine --top-k 5
    """
    records = _records(documents, source, columns)
    encoder = CrossEncoder.from_options(model, replace(options, activation=activation))
    [ranked] = encoder.rank_many(
        [query],
        [[text for text, _ in records]],
        top_k=top_k,
        min_score=min_score,
        return_documents=True,
        return_windows=options.long_documents.policy == "windows",
        explain=explain,
        show_progress=True,
    )
    for item in ranked:
        if as_json:
            row = records[item["corpus_id"]][1]
            if row is not None:
                give_back(row, item)
            click.echo(json.dumps(item, ensure_ascii=False, default=str))
        else:
            show(_line(item))
    if not ranked and min_score is not None:
        say(f"no document scores {min_score:g} or more")


def _records(texts: Sequence[str], source: BinaryIO | None, columns: Columns) -> list[Record]:
    """Return the documents of the command line and of a file."""
    if source is not None and source.isatty():
        say("reading documents from the terminal, one per line; end with Ctrl-D")
    records: list[Record] = [(text, None) for text in texts]
    records += read_records(source, columns=columns) if source else []
    if not records and source:
        raise DataError(f"{source.name} contains no documents")
    if not records:
        raise InputError(
            "there are no documents: list them after the query, or use --documents FILE (- reads standard input)"
        )
    return records


# Parts of a text that begin and end with a word.
PIECES = re.compile(r"\S.{0,100000}\S*", re.DOTALL)


def _line(item: RankedDocument) -> str:
    score = click.style(f"{item['score']:.4f}", bold=True)
    lines = [f"{score}  {_one_line(item['text'])}"]
    for part in item.get("explanation", ()):
        added = click.style(f"{part['contribution']:+.4f}", fg="green" if part["contribution"] > 0 else "red")
        lines.append(f"    {added}  {_one_line(part['text'])}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Normalise white space to single spaces, piece by piece: a list of all words takes 20 times a text's memory."""
    return plain(" ".join(" ".join(piece.split()) for piece in PIECES.findall(text)))
