"""The `plackett` command. Commands parse and call; results go to standard output, everything else to standard error."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from plackett import __version__
from plackett._extras import require
from plackett.cross_encoder import CrossEncoder, RankedDocument
from plackett.errors import InputError, PlackettError
from plackett.readers import read_collection, read_documents

MODEL = click.option("--model", required=True, help="A checkpoint: a folder or a hub id.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="plackett")
def commands() -> None:
    """Train, evaluate, publish and use listwise cross-encoder rerankers."""


@commands.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a setting; dots for nesting.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint that an earlier run saved.")
def train(recipe: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a reranker as RECIPE (YAML) says.

    \b
    plackett train recipes/lists.yaml --set output=models/mine --set training.num_train_epochs=2
    """
    output = require("plackett.jobs", extra="train").train(recipe, overrides, resume=resume)
    click.echo(output)
    _say(f"next: plackett rank QUERY DOCUMENT ... --model {output}")


@commands.command()
@click.argument("checkpoint")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A BEIR folder, or a file of lists.")
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option(
    "--depth", default=100, show_default=True, type=click.IntRange(min=1), help="Candidates reranked a query."
)
@click.option("--measures", default="nDCG@10 RR@10 AP", show_default=True, help="ir-measures' names.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to this file.")
@click.option("--card", "on_card", is_flag=True, help="Add the figures to the checkpoint's card.")
def evaluate(
    checkpoint: str, data: Path, split: str, depth: int, measures: str, json_path: Path | None, on_card: bool
) -> None:
    """Rerank the first stage of a collection with CHECKPOINT and measure both.

    The first stage of a BEIR folder is BM25; that of a file of lists is the order in the file.
    """
    jobs = require("plackett.jobs", extra="train")
    collection = read_collection(data, split=split)
    report: str = jobs.evaluate(checkpoint, collection, depth, measures.split(), json_path, on_card=on_card)
    click.echo(report)


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
def card(checkpoint: Path) -> None:
    """Write the card of CHECKPOINT again, from the facts in its plackett.json."""
    click.echo(require("plackett.jobs", extra="train").card(checkpoint))


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("repository")
@click.option(
    "--private", is_flag=True, help="Where the repository is new, only you and your organisation may read it."
)
@click.option("--revision", help="The branch to publish to, made if need be.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request in place of a commit.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be sent, and ask nobody.")
def publish(checkpoint: Path, repository: str, private: bool, revision: str, create_pr: bool, dry_run: bool) -> None:
    """Publish CHECKPOINT to the hub as REPOSITORY (org/name).

    The folder must load, give the scores on its card, and have the card that its facts give. Interrupted, the same
    command goes on: what the hub has already is not sent again.

    \b
    plackett publish models/mine my-org/my-reranker --private --dry-run
    """
    how = {"private": private, "revision": revision, "create_pr": create_pr, "dry_run": dry_run}
    done = require("plackett.publish", extra="train").publish(checkpoint, repository, **how)
    for file in done.files:
        _say(f"{file.size:>14,} bytes  {file.path}")
    _say(f"{len(done.files)} files, {sum(file.size for file in done.files) / 1e6:.1f} MB")
    click.echo(done.url or f"nothing was sent: this was a dry run for {repository}")


@commands.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The file of lists to write (.jsonl).")
@click.option("--split", default="train", show_default=True, help="The qrels of a BEIR folder.")
@click.option("--teacher", help="A checkpoint that scores positives and candidates: a folder or a hub id.")
@click.option("--depth", default=100, show_default=True, help="Documents that BM25 finds for a query.")
@click.option("--negatives", default=15, show_default=True, help="Negatives of a list, at most.")
@click.option("--min-rank", default=1, show_default=True, help="First of BM25's ranks to take.")
@click.option("--max-rank", type=int, help="Last of BM25's ranks to take.  [default: --depth]")
@click.option("--margin", type=float, help="Drop what the teacher's logit puts less than so far below a positive.")
@click.option("--relative-margin", type=float, help="The same as a share of the positive's probability, such as 0.05.")
@click.option("--teacher-labels", is_flag=True, help="Label with the teacher's scores, in place of relevance grades.")
@click.option("--draw", default="hardest", show_default=True, help="Negatives to keep: hardest or random.")
@click.option("--seed", default=0, show_default=True, help="Of the random draw.")
def mine(data: Path, output: Path, split: str, teacher: str | None, **settings: Any) -> None:
    """Mine lists with hard negatives from the BEIR folder DATA, by BM25 and maybe a teacher.

    Killed or interrupted, the same command goes on where it stopped.

    \b
    plackett mine my-corpus --output lists.jsonl --teacher models/teacher --margin 1 --min-rank 5
    """
    mining = require("plackett.mining", extra="train")
    how = mining.MiningSettings(**settings)
    encoder = CrossEncoder(teacher) if teacher else None
    mined = mining.mine(data, output, how, split=split, teacher=encoder, show_progress=True)
    click.echo(output)
    _say(str(mined))


@commands.command()
@click.argument("query")
@click.argument("documents", nargs=-1)
@click.option(
    "--documents", "source", type=click.File(encoding="utf-8"), help="One document a line; - is standard input."
)
@MODEL
@click.option("--top-k", type=int, help="Show the best so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines of corpus_id, score and text.")
def rank(query: str, documents: tuple[str, ...], source: Any, model: str, top_k: int | None, as_json: bool) -> None:
    """Rank DOCUMENTS for QUERY, best first.

    \b
    plackett rank "how to sort a list" "list.sort sorts in place" "dict.get returns a value" --model models/mine
    """
    texts = [*documents, *(read_documents(source, source.name) if source else [])]
    if not texts:
        raise InputError("there are no documents: give them after the query, or --documents FILE, or --documents -")
    for item in CrossEncoder(model).rank(query, texts, top_k=top_k, return_documents=True):
        click.echo(json.dumps(item, ensure_ascii=False) if as_json else _line(item))


@commands.command()
@click.option("--base", help="The encoder to start from: a folder or a hub id.  [default: all-MiniLM-L6-v2 from PyPI]")
@click.option(
    "--output", default="plackett-demo", show_default=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--seed", default=0, show_default=True, help="Draws the modules that are held out, and everything else.")
def demo(base: str | None, output: Path, seed: int) -> None:
    """The main job on this machine's own data: Python's documentation.

    Trains a reranker on it, measures it on modules that were held out, writes it to a folder, and uses it.
    """
    require("plackett.demo", extra="train").run(base, output, seed)


def main() -> None:
    """Run the command line: exit code 2 and one line for a user's mistake."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        commands(prog_name="plackett")
    except PlackettError as error:
        _say(f"plackett: {' '.join(str(error).split())}")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("plackett: interrupted")
        sys.exit(130)


def _line(item: RankedDocument) -> str:
    return f"{item['score']:.4f}  {' '.join(item['text'].split())}"


def _say(message: str) -> None:
    click.echo(message, err=True)
