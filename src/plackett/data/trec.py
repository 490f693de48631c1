"""TREC files, read as trec_eval 10 reads them: runs, and judgements of TREC and BEIR.

Fields are split at any ASCII white space; blank lines and comment lines (`#`) are skipped.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from plackett._arguments import checked
from plackett.data.fields import WHITE_SPACE, checked_grade, checked_id, is_number, parsed
from plackett.data.rows import read_lines, unquoted
from plackett.errors import DataError
from plackett.ranking import best_first
from plackett.records import Qrel, ScoredDoc

_GRADE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII).fullmatch  # the numbers that trec_eval reads correctly
_NUMERIC = re.compile(r"[+-]?\.?\d", re.ASCII).match
_DIGITS = re.compile(r"[+-]?\d+", re.ASCII).match
_SEPARATORS = re.compile("[\x1c-\x1f]").search  # white space for Python, but not for C

_CONVERT = 'convert it with awk \'{print $1, "Q0", $2, $3, %s, "run"}\' IN > OUT'
_HINTS = {  # by the number of columns
    3: (
        "; this looks like a run of MS MARCO (query, document, rank), which has no scores: "
        + _CONVERT % "-$3"
        + "; or it looks like qrels of BEIR"
    ),
    4: "; this looks like qrels, or like a run of query, document, rank and score: " + _CONVERT % "$4",
    5: "; the last column, the tag, is missing: add any word",
}


@checked()
def read_run(path: Path) -> list[ScoredDoc]:
    """Read a run in the order of its lines. Raises DataError, naming the line, for anything else.

    A document listed twice for a query is an error that names both lines.
    """
    lines: dict[str, dict[str, int]] = {}  # query id -> document id -> line
    run = []
    for number, scored in _scored(path):
        _check_new(path, number, scored, lines.setdefault(scored.query_id, {}))
        run.append(scored)
    return run


def stream_run(path: Path) -> Iterator[tuple[str, list[ScoredDoc]]]:
    """Read a run query by query, for runs larger than memory: the lines of a query must be adjacent."""
    done: set[str] = set()
    query_id, candidates, lines = None, list[ScoredDoc](), dict[str, int]()
    for number, scored in _scored(path):
        if scored.query_id != query_id:
            if query_id is not None:
                yield query_id, candidates
                done.add(query_id)
            if scored.query_id in done:
                raise DataError(
                    f"{path}:{number}: the query {scored.query_id!r} occurs in two separate places; sort the run by "
                    "query"
                )
            query_id, candidates, lines = scored.query_id, [], {}
        _check_new(path, number, scored, lines)
        candidates.append(scored)
    if query_id is None:
        raise DataError(f"{path} contains no candidates")
    yield query_id, candidates


def run_lines(candidates: Sequence[ScoredDoc], tag: str) -> list[str]:
    """Write one query's candidates as lines of a run, best first, ranks from 1.

    Scores have nine digits, enough to distinguish any two float32 values. Raises DataError for an id with white space.
    """
    for scored in candidates:
        for text in (scored.query_id, scored.doc_id):
            if len(_fields(text)) != 1 or text.startswith("#"):
                raise DataError(f"the id {text!r} cannot be written to a TREC run; use ids without white space")
    return [
        f"{scored.query_id} Q0 {scored.doc_id} {rank} {scored.score:.9g} {tag}"
        for rank, scored in enumerate(best_first(candidates), start=1)
    ]


@checked()
def read_qrels(path: Path) -> Iterator[Qrel]:
    """Read judgements of TREC (`query 0 document grade`) or BEIR (`query document grade`).

    A first line whose grade is a word is a header. A pair that is judged twice is an error that names both lines. So is
    a grade that is not a whole number, because trec_eval would read only its first digits: `1.5` and `1e+8` as 1.
    """
    seen: dict[tuple[str, str], int] = {}
    beir = False
    for place, (number, line, fields) in enumerate(_lines(path)):
        where = f"{path}:{number}"
        if place == 0:
            beir = _is_beir(line, fields)
        cells = _cells(line) if beir and len(_cells(line)) == 3 else fields
        if place == 0 and len(cells) in (3, 4) and _is_word(cells[-1]):
            continue
        qrel = _judgement(where, line, cells)
        first = seen.setdefault(qrel[:2], number)
        if first != number:
            raise DataError(
                f"{where}: {qrel.doc_id!r} is judged twice for the query {qrel.query_id!r}, first in line {first}"
            )
        yield qrel


def _is_beir(line: str, fields: list[str]) -> bool:
    """Return whether the first line has three tab-separated columns, in which ids may contain spaces.

    `q1 0<tab>d1<tab>1` does too, but it is a TREC line, which is split at any white space.
    """
    return len(_cells(line)) == 3 and not (len(fields) == 4 and fields[1].isdecimal())


def _cells(line: str) -> list[str]:
    """Return the columns of a line of BEIR, which pandas and BEIR's own reader write in quotes where they need them."""
    return [unquoted(cell.strip(WHITE_SPACE)) for cell in line.strip(WHITE_SPACE).split("\t")]


def _judgement(where: str, line: str, cells: list[str]) -> Qrel:
    if len(cells) not in (3, 4) or _is_word(cells[-1]):
        hint = "; this looks like a run, not like qrels" if len(cells) >= 6 else ""
        raise DataError(f"{where}: not a line of query id, document id and relevance: {_shown(line)}{hint}")
    query_id, *_, doc_id, grade = cells
    if not _GRADE(grade):
        raise DataError(
            f"{where}: the grade is {grade:.50}, not a whole number; trec_eval would read {_as_trec_eval(grade)}: "
            "round the grades first"
        )
    return Qrel(
        checked_id(query_id, f"{where}: the query id"),
        checked_id(doc_id, f"{where}: the document id"),
        checked_grade(parsed(grade), f"{where}: the grade"),
    )


def _is_word(grade: str) -> bool:
    return not _NUMERIC(grade) and not is_number(grade)


def _as_trec_eval(grade: str) -> str:
    """Return what C's atol() reads: the whole number at the start of a text, or 0."""
    digits = _DIGITS(grade)
    return digits[0][:50] if digits else "0"


def _check_new(path: Path, number: int, scored: ScoredDoc, lines: dict[str, int]) -> None:
    """Record the line of a document; DataError if an earlier line of its query has the same document."""
    first = lines.setdefault(scored.doc_id, number)
    if first != number:
        raise DataError(
            f"{path}:{number}: {scored.doc_id!r} is listed twice for the query {scored.query_id!r}, "
            f"first in line {first}"
        )


def _scored(path: Path) -> Iterator[tuple[int, ScoredDoc]]:
    for number, line, fields in _lines(path):
        if len(fields) < 6 or not is_number(fields[4]):
            hint = _HINTS.get(len(fields), "")
            raise DataError(
                f"{path}:{number}: not a line of query, Q0, document, rank, score and tag: {_shown(line)}{hint}"
            )
        score = float(fields[4])
        if not math.isfinite(score):
            raise DataError(f"{path}:{number}: the score {fields[4]} is not finite")
        if "\0" in line:
            raise DataError(f"{path}:{number}: the line contains a NUL character")
        yield number, ScoredDoc(fields[0], fields[2], score)


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the lines with content: their number, the line, its fields."""
    for number, line in enumerate(read_lines(path), start=1):
        fields = _fields(line)
        if fields and not fields[0].startswith("#"):
            yield number, line, fields


def _fields(line: str) -> list[str]:
    """Split at white space as C does: str.split() also splits at Unicode white space, which ids may contain."""
    if line.isascii() and not _SEPARATORS(line):
        return line.split()
    return [field.decode() for field in line.encode().split()]


def _shown(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= 100 else f"{text[:100]}...")
