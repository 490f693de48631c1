"""`plackett evaluate`."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plackett._extras import extra
from plackett.cli.console import complain, show
from plackett.cli.options import COLUMNS, FILE, first_stage_options, model_options
from plackett.cli.running import begins_again
from plackett.cli.tables import painted
from plackett.engines.loading import Options
from plackett.errors import SettingError
from plackett.tokenization.windows import LongDocuments

if TYPE_CHECKING:
    from plackett.retrieval.sources import Sources
    from plackett.workflows.outputs import Outputs

SEMANTICS = ("trec_eval", "reference")


def _source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name collections, passed to the command as `sources`."""

    @click.option("--data", multiple=True, help="A BEIR folder, a file of lists, nanobeir, or nanobeir:msmarco,nq.")
    @COLUMNS
    @click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
    @click.option("--run", type=FILE, help="The first stage: a TREC run.")
    @click.option("--qrels", type=FILE, help="Judgements in TREC's or BEIR's format.")
    @click.option("--queries", type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
    @click.option("--corpus", type=FILE, help="Texts of the documents, in the same formats as --queries.")
    @first_stage_options
    @functools.wraps(command)
    def with_sources(**options: Any) -> None:
        with extra("evaluate"):
            from plackett.retrieval.sources import Sources
        names = ("data", "columns", "split", "run", "qrels", "queries", "corpus", "first_stage")
        command(sources=Sources(**{name: options.pop(name) for name in names}), **options)

    return with_sources


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name outputs, passed to the command as `outputs`."""

    @click.option(
        "--output",
        "paths",
        type=FILE,
        multiple=True,
        help="Also write a report in the format that the suffix names: .json, .csv, .md or .html (repeatable). "
        "With --semantics reference: .json, or a folder for the evaluators' CSV files.",
    )
    @click.option("--json", type=FILE, hidden=True)
    @click.option("--csv", type=FILE, hidden=True)
    @click.option("--html", type=FILE, hidden=True)
    @click.option("--per-query", is_flag=True, help="Include every query's values in the JSON report.")
    @click.option("--card", is_flag=True, help="Add the figures to the model cards of the checkpoints.")
    @functools.wraps(command)
    def with_outputs(
        paths: tuple[Path, ...],
        json: Path | None,
        csv: Path | None,
        html: Path | None,
        per_query: bool,
        card: bool,
        **options: Any,
    ) -> None:
        with extra("evaluate"):
            from plackett.workflows.outputs import Output, Outputs
        # Older options imply the kind of report; the reference's CSV files are in a folder.
        older = {".json": json, "" if options["semantics"] == "reference" else ".csv": csv, ".html": html}
        files = [Output(path, path.suffix) for path in paths]
        files += [Output(path, kind) for kind, path in older.items() if path is not None]
        command(outputs=Outputs(files=files, per_query=per_query, card=card), **options)

    return with_outputs


@click.command()
@click.argument("systems", nargs=-1, required=True, metavar="CHECKPOINT|RUN...")
@_source_options
@click.option(
    "--depth",
    default="100",
    show_default=True,
    help="Number of candidates to rerank per query; a comma-separated list evaluates several depths.",
)
@click.option(
    "--measures", default="nDCG@10 RR@10 AP", show_default=True, help="Measures, by the names of ir-measures."
)
@click.option(
    "--semantics",
    default="trec_eval",
    show_default=True,
    help="trec_eval, or reference: those of sentence-transformers' evaluators.",
)
@model_options
@click.option(
    "--only-retrieved", is_flag=True, help="With --semantics reference: rerank only positives that were retrieved."
)
@_output_options
def evaluate(
    systems: tuple[str, ...],
    sources: "Sources",
    depth: str,
    measures: str,
    semantics: str,
    options: Options,
    only_retrieved: bool,
    outputs: "Outputs",
) -> None:
    """Measure rerankers against the first stage.

    Each CHECKPOINT reranks the first stage of a collection, and both orders are measured. A RUN is measured unchanged.
    The name default means the embedded model.

    The first stage of a BEIR folder is BM25. A file of lists has its own order, and NanoBEIR includes a BM25 run.
    --run or --first-stage overrides it.

    \b
    plackett evaluate models/mine default --data my-test.jsonl
    plackett evaluate models/mine models/other dense.trec --data beir/scifact --depth 10,50,100
    """
    with extra("evaluate"):
        from plackett.evaluation.report import table
        from plackett.evaluation.sentence_transformers import reference_table
        from plackett.workflows.evaluate import evaluate as measure
        from plackett.workflows.evaluate_as_reference import evaluate_as_reference

    _check_semantics(semantics, options)
    depths = _depths(depth)
    if semantics == "reference":
        system, at = _one_system(systems, depths)
        always = not only_retrieved
        with begins_again():
            by_reference = evaluate_as_reference(
                system, sources, depth=at, always_rerank_positives=always, options=options, outputs=outputs
            )
        _show(reference_table(by_reference.comparisons), by_reference.problems)
    else:
        names = measures.split()
        with begins_again():
            found = measure(systems, sources, depths=depths, measures=names, options=options, outputs=outputs)
        _show(table(*found.comparisons), found.problems)


def _show(table: str, problems: Sequence[str]) -> None:
    """Print the table even if a file could not be written; files set the exit code."""
    show(painted(table))
    for problem in problems:
        complain(f"plackett: {' '.join(problem.split())}")
    if problems:
        sys.exit(1)


def _one_system(systems: Sequence[str], depths: Sequence[int]) -> tuple[str, int]:
    if len(systems) > 1 or len(depths) > 1:
        raise SettingError("--semantics reference measures one checkpoint at one depth")
    return systems[0], depths[0]


def _check_semantics(semantics: str, options: Options) -> None:
    if semantics not in SEMANTICS:
        raise SettingError.unknown("semantics", semantics, SEMANTICS)
    if semantics == "reference" and options.long_documents != LongDocuments():
        raise SettingError("--semantics reference always cuts long pairs longest_first; leave out --long-documents")


def _depths(text: str) -> list[int]:
    depths = [int(word) for word in text.replace(",", " ").split() if word.isdecimal()]
    if len(depths) != len(text.replace(",", " ").split()) or not depths or min(depths) < 1:
        raise SettingError(f"--depth is {text!r}; give a number of candidates, or several, such as 10,20,50,100")
    return sorted(set(depths))
