"""Values of foreign records -> texts, ids, labels and grades. Every check raises a DataError that names the place.

Ids are stripped of ASCII white space, the only kind that trec_eval splits at, so ids match across files.
"""

import math
import numbers
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from plackett._arguments import checked
from plackett.errors import DataError
from plackett.records import Qrel, ScoredDoc

WHITE_SPACE = " \t\n\r\v\f"  # as defined by C's isspace()
GRADES = range(-(2**31), 2**31)  # trec_eval crashes outside this range
SHOWN_COLUMNS = 10
RENAME = "map other names with --columns (in a recipe: columns)"

TEXT_NAMES = ("text", "document", "contents")
ID_NAMES = ("_id", "id", "docid", "doc_id", "docno", "pid", "qid", "query_id")
DOCUMENT_NAMES = ("document", "doc", "text", "passage")  # in files of lists, as are the next two
LABEL_NAMES = ("label", "clicked", "relevance", "score")
QUERY_NAMES = ("query", "anchor")
QUERY_ID_NAMES = ("qid", "query_id")
SYNONYMS = (
    (*TEXT_NAMES, *DOCUMENT_NAMES),
    ID_NAMES,
    LABEL_NAMES,
    QUERY_NAMES,
)  # one name each is read

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def kind_of(value: object) -> str:
    """Name the kind of a JSON value."""
    return _KINDS.get(type(value), f"of type {type(value).__name__}")


_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def checked_text(value: object, what: str) -> str:
    """Return a text, which may be empty."""
    if not isinstance(value, str):
        raise DataError(f"{what} is {kind_of(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can encode half of a surrogate pair, which tokenizers reject
        raise DataError(f"{what} contains {value[error.start]!r}, an unpaired surrogate; replace it") from error
    return value


def nonempty_text(value: object, what: str) -> str:
    """Return a text that is more than white space."""
    text = checked_text(value, what)
    if not text.strip():
        raise DataError(f"{what} is empty")
    return text


def checked_id(value: object, what: str) -> str:
    """Return an id as text: a text or a number, without white space around it."""
    if isinstance(value, bool) or not isinstance(value, str | numbers.Real | Decimal):
        raise DataError(f"{what} is {kind_of(value)}, not text or a number")
    text = checked_text(str(value), what).strip(WHITE_SPACE)
    if not isinstance(value, str) and text.lstrip("-")[:1].isalpha():  # infinity is what JSON's 1e400 becomes
        raise DataError(f"{what} is {'null' if 'nan' in text.lower() else 'a number that is too large'}")
    if not text:
        raise DataError(f"{what} is empty")
    if "\0" in text:  # ends a C string
        raise DataError(f"{what} is {text!r}, which contains a NUL character")
    return text


def checked_grade(value: object, what: str) -> int:
    """Return a relevance grade: a whole number that fits a C int."""
    number = checked_number(value, what)
    if not number.is_integer():
        raise DataError(f"{what} is {value}, not a whole number, so it cannot serve as a relevance grade")
    if int(number) not in GRADES:
        raise DataError(f"{what} is {value}; relevance grades range from {GRADES.start} to {GRADES.stop - 1}")
    return int(number)


def checked_number(value: object, what: str) -> float:
    """Return a finite number, which may be a NumPy scalar or a Decimal."""
    try:
        is_none = isinstance(value, bool) or not isinstance(value, numbers.Real | Decimal)
        number = math.nan if is_none else float(cast(float, value))
    except (OverflowError, ValueError):  # too large, and a NaN that signals
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{what} is {value!r:.50}, not a number")
    return number


def parsed(value: object) -> object:
    """Return the number that a text spells, or the value unchanged."""
    text = value.strip(WHITE_SPACE) if isinstance(value, str) else ""
    return float(text) if _NUMBER.fullmatch(text) else value  # float() also accepts 1_000 and non-ASCII digits


def is_number(text: str) -> bool:
    """Return whether a text spells a number, `nan` and `inf` included."""
    return bool(_NUMBER.fullmatch(text)) or text.lower().lstrip("+-") in {"nan", "inf", "infinity"}


def text_of(where: str, row: Mapping[str, Any], names: Iterable[str] = TEXT_NAMES) -> str:
    """Return the text of a row, after its title if it has one."""
    name = name_in(where, row, names)
    text = checked_text(row[name], f"{where}: {name}")
    title = checked_text(row.get("title") or "", f"{where}: title")
    return f"{title} {text}".strip()


def id_of(where: str, row: Mapping[str, Any], names: Iterable[str] = ID_NAMES) -> str:
    """Return the id of a row."""
    name = name_in(where, row, names)
    return checked_id(row[name], f"{where}: {name}")


def name_in(where: str, row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the first of `names` that the row has; otherwise raise DataError, which lists the row's columns."""
    names = tuple(names)
    found = next((name for name in names if name in row), None)
    if found is None:
        raise DataError(f"{where}: no column {names[0]}; {names_of(row)}; {RENAME}")
    return found


def names_of(row: Mapping[str, Any], kind: str = "columns") -> str:
    """List the columns of a row, or the keys of an object, for an error message."""
    names = [str(name) for name in row]
    shown = ", ".join(name[:50] for name in names[:SHOWN_COLUMNS]) + (", ..." if len(names) > SHOWN_COLUMNS else "")
    return f"{kind} are {shown}" if shown else f"there are no {kind}"


@checked()
def checked_qrels(qrels: Iterable[Any]) -> list[Qrel]:
    """Return judgements made in a program, with ids and grades checked for use in C code.

    Any records with the fields of Qrel are accepted, such as those of ir-measures, and NumPy numbers too. Raises
    DataError, naming the position, for invalid ids or grades and for a pair that is judged twice.
    """
    checked: list[Qrel] = []
    seen: dict[tuple[str, str], int] = {}
    for index, item in enumerate(qrels):
        grade = _field(item, "relevance", f"judgement {index}")
        if type(grade) is not int or grade not in GRADES:
            grade = checked_grade(grade, f"judgement {index}: the grade")
        pair = _checked_pair(item, f"judgement {index}")
        if seen.setdefault(pair, index) != index:
            raise DataError(
                f"judgement {index}: {pair[1]!r} is judged twice for the query {pair[0]!r}, "
                f"first in judgement {seen[pair]}"
            )
        checked.append(Qrel(*pair, grade))
    return checked


@checked()
def checked_run(run: Iterable[Any]) -> list[ScoredDoc]:
    """Return the candidates of a run made in a program, checked as `checked_qrels` does.

    Scores become floats; `ranking.by_query` refuses scores that are not finite.
    """
    checked: list[ScoredDoc] = []
    for index, item in enumerate(run):
        score = _field(item, "score", f"candidate {index} of the run")
        if type(score) is not float:
            score = checked_number(score, f"candidate {index} of the run: the score")
        checked.append(ScoredDoc(*_checked_pair(item, f"candidate {index} of the run"), score))
    return checked


def _checked_pair(item: Any, where: str) -> tuple[str, str]:
    query_id, doc_id = _field(item, "query_id", where), _field(item, "doc_id", where)
    return _fast_id(query_id, where, "the query id"), _fast_id(doc_id, where, "the document id")


def _field(item: Any, name: str, where: str) -> Any:
    try:
        return getattr(item, name)
    except AttributeError as error:
        raise DataError(f"{where} is {type(item).__name__}, which has no {name}; use plackett.records") from error


def _fast_id(value: object, where: str, what: str) -> str:
    """Return a checked id; plain words, as most ids are, take a shortcut."""
    if type(value) is str and value.isascii() and value.isprintable() and value[:1] > " " and value[-1:] > " ":
        return value
    return checked_id(value, f"{where}: {what}")
