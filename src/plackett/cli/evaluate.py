"""`plackett evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from plackett._extras import extra
from plackett.cli.options import COLUMNS, FILE, LONG, first_stage_options
from plackett.data import Columns
from plackett.errors import SettingError

if TYPE_CHECKING:
    from plackett.retrieval.first_stage import FirstStageSettings

SEMANTICS = ("trec_eval", "reference")


@click.command()
@click.argument("systems", nargs=-1, required=True, metavar="CHECKPOINT|RUN...")
@click.option("--data", multiple=True, help="A BEIR folder, a file of lists, nanobeir, or nanobeir:msmarco,nq.")
@COLUMNS
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option("--run", type=FILE, help="The first stage: a TREC run.")
@click.option("--qrels", type=FILE, help="Judgements, of TREC or BEIR.")
@click.option("--queries", type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
@click.option("--corpus", type=FILE, help="Texts of the documents, as --queries.")
@first_stage_options
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
    data: tuple[str, ...],
    columns: Columns,
    split: str,
    run: Path | None,
    qrels: Path | None,
    queries: Path | None,
    corpus: Path | None,
    first_stage: "FirstStageSettings | None",
    depth: str,
    measures: str,
    semantics: str,
    long_documents: str,
    only_retrieved: bool,
    json: Path | None,
    per_query: bool,
    csv: Path | None,
    html: Path | None,
    card: bool,
) -> None:
    """Rerank the first stage of a collection with each CHECKPOINT, and measure both; a RUN is measured as it is.

    The checkpoint default is the one that comes with Plackett.

    The first stage of a BEIR folder is BM25, that of a file of lists is the order in the file, that of NanoBEIR comes
    with it; --run or --first-stage overrides it.

    \b
    plackett evaluate models/mine default --data my-test.jsonl
    plackett evaluate models/mine models/other dense.trec --data beir/scifact --depth 10,50,100
    """
    with extra("train"):
        from plackett.retrieval.sources import Sources
        from plackett.workflows.evaluate import Outputs
        from plackett.workflows.evaluate import evaluate as measure
        from plackett.workflows.evaluate_as_reference import evaluate_as_reference
    outputs = Outputs(json=json, per_query=per_query, csv=csv, html=html, card=card)
    sources = Sources(
        data=data,
        columns=columns,
        split=split,
        run=run,
        qrels=qrels,
        queries=queries,
        corpus=corpus,
        first_stage=first_stage,
    )
    _check_semantics(semantics, long_documents)
    if semantics == "reference":
        click.echo(evaluate_as_reference(systems, sources, _depths(depth), not only_retrieved, outputs))
        return
    found = measure(
        systems,
        sources,
        depths=_depths(depth),
        measures=measures.split(),
        long_documents=long_documents,
        outputs=outputs,
    )
    click.echo(found)


def _check_semantics(semantics: str, long_documents: str) -> None:
    if semantics not in SEMANTICS:
        raise SettingError.unknown("semantics", semantics, SEMANTICS)
    if semantics == "reference" and long_documents != "longest_first":
        raise SettingError("the reference's semantics cut long pairs longest_first; leave out --long-documents")


def _depths(text: str) -> list[int]:
    depths = [int(word) for word in text.replace(",", " ").split() if word.isdecimal()]
    if len(depths) != len(text.replace(",", " ").split()) or not depths or min(depths) < 1:
        raise SettingError(f"--depth is {text!r}, not a number of candidates, or several: 10,20,50,100")
    return sorted(set(depths))
