"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plackett._extras import extra
from plackett.cli.console import say as say
from plackett.data import Columns, parse_columns
from plackett.engines.loading import Options
from plackett.tokenization.windows import LongDocuments

if TYPE_CHECKING:
    from plackett.retrieval.first_stage import FirstStageSettings

FILE = click.Path(path_type=Path)
MODEL = click.option(
    "--model",
    envvar="PLACKETT_MODEL",
    show_envvar=True,
    help="A folder, a Hub id or the address of a server.  [default: the embedded model]",
)


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for opening a model, other than its name, passed to the command as `options`."""

    @click.option(
        "--long-documents",
        default="longest_first",
        show_default=True,
        help="How to handle pairs longer than the token limit: longest_first, truncate, error or windows.",
    )
    @click.option(
        "--instruction",
        help="Instruction for a model with a chat template: what to look for, in words.  [default: the model's own]",
    )
    @click.option(
        "--positive-label", help="The label to rank by, for a model with several labels, by its name or number."
    )
    @click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Run Python code in the model's folder, if the model needs it; its files are listed with their hashes.",
    )
    @functools.wraps(command)
    def with_record(
        *given: object,
        long_documents: str,
        instruction: str | None,
        positive_label: str | None,
        trust_remote_code: bool,
        **others: object,
    ) -> None:
        options = Options(
            long_documents=LongDocuments.of(long_documents),
            instruction=instruction,
            positive_label=positive_label,
            trust_remote_code=trust_remote_code,
        )
        command(*given, options=options, **others)

    return with_record


def first_stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a first stage, passed to the command as `first_stage`, or None if none is given."""

    @click.option("--first-stage", "name", help="bm25, or bi_encoder:CHECKPOINT (a folder or a Hub id).")
    @click.option("--language", help="Stop words of bm25: english, german, ..., or none.  [default: english]")
    @click.option("--stemmer", help="Stemmer of bm25: english, german, ...  [default: no stemming]")
    @click.option(
        "--ngrams",
        type=click.IntRange(min=0),
        help="Characters per term of bm25 in text without spaces, such as Chinese; 0 splits into words only.  "
        "[default: 2 if the corpus contains such text]",
    )
    @functools.wraps(command)
    def with_record(
        *given: object,
        name: str | None,
        language: str | None,
        stemmer: str | None,
        ngrams: int | None,
        **options: object,
    ) -> None:
        command(*given, first_stage=_first_stage(name, language, stemmer, ngrams), **options)

    return with_record


def _first_stage(
    name: str | None, language: str | None, stemmer: str | None, ngrams: int | None
) -> "FirstStageSettings | None":
    if name is None and language is None and stemmer is None and ngrams is None:
        return None
    with extra("evaluate"):
        from plackett.retrieval.first_stage import FirstStageSettings
    return FirstStageSettings.of(name=name, language=language, stemmer=stemmer, ngrams=ngrams)


def _columns(context: click.Context, parameter: click.Parameter, value: str) -> Columns:
    return parse_columns(value)


COLUMNS = click.option(
    "--columns",
    default="",
    callback=_columns,
    help="Map the column names of your files: query=q,document=d,label=grade for lists; query=q,qid=n for queries; "
    "text=body,docid=n for a corpus. Dots reach into JSON objects.",
)
