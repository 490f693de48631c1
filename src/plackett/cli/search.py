"""`plackett search`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plackett._extras import extra
from plackett._wording import counted
from plackett.cli.console import plain
from plackett.cli.options import FILE, MODEL, model_options, say
from plackett.cross_encoder import CrossEncoder
from plackett.engines.loading import Options

if TYPE_CHECKING:
    from plackett.workflows.search import Found, Index

WIDTH = 160  # characters shown of a passage


@click.command()
@click.argument("source", type=FILE, metavar="FOLDER|FILE")
@click.argument("query")
@MODEL
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Show only the top K passages.")
@click.option(
    "--depth", type=click.IntRange(min=1), default=100, show_default=True, help="Number of BM25's passages to rerank."
)
@click.option("--language", default="english", show_default=True, help="Stop words of BM25: english, ..., or none.")
@click.option("--stemmer", help="Stemmer of BM25: english, german, ...  [default: no stemming]")
@click.option("--index", type=FILE, help="Folder to keep the index in.  [default: .plackett-search in FOLDER]")
@model_options
@click.option("--explain", is_flag=True, help="Show how much each sentence adds to the logit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines of file, line, text, score, rank, first_rank.")
def search(
    source: Path,
    query: str,
    model: str | None,
    top_k: int,
    depth: int,
    language: str,
    stemmer: str | None,
    index: Path | None,
    options: Options,
    explain: bool,
    as_json: bool,
) -> None:
    """Search the files of FOLDER, or FILE, for QUERY.

    BM25 finds passages and the reranker orders them. Each line shows the rank that BM25 alone gave the passage. The
    index is kept, and only changed files are read again.

    \b
    plackett search docs "how do I set a threshold"
    plackett search articles.jsonl "how do I set a threshold" --top-k 3 --explain
    """
    with extra("search"):
        from plackett.retrieval.bm25 import Splitting
        from plackett.workflows.search import open_index, rows
    opened = open_index(source, index, Splitting(language=language, stemmer=stemmer))
    _tell(opened)
    encoder = CrossEncoder.from_options(model, options)
    found = opened.search(query, encoder, depth=depth, top_k=top_k, explain=explain)
    if not found:
        say("no passage shares a word with the query")
    for item, row in zip(found, rows(found), strict=True):
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else _lines(item))


def _tell(index: "Index") -> None:
    if index.read:
        say(f"indexed {counted(len(index.passages), 'passage')}; files read: {index.read:,}")
    if index.left_out:
        say(f"skipped {counted(len(index.left_out), 'file')} without text, such as {index.left_out[0]}")
    if not index.is_kept:
        say("the index could not be written, so the next search builds it again; --index names another folder")


def _lines(found: "Found") -> str:
    lines = [f"{found.rank}. {found.score:.4f}  {found.passage.place}  (BM25: {found.first_rank})"]
    lines.append(f"   {_one_line(found.passage.text)}")
    lines += [f"     {part['contribution']:+.4f}  {_one_line(part['text'])}" for part in found.explanation]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    line = plain(" ".join(text[: 4 * WIDTH].split()))
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"
