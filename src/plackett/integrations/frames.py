"""Rank the rows of a table: pandas, polars, Arrow, and other kinds that narwhals reads."""

import math
from collections.abc import Sequence
from typing import Any

from plackett._extras import extra
from plackett._inputs import joined_fields, text_fields
from plackett.errors import InputError
from plackett.integrations._shared import Source, opened

with extra("frames"):
    import narwhals as nw
    from narwhals.typing import IntoDataFrameT


def rank_frame(
    query: str,
    frame: IntoDataFrameT,
    *,
    text: str | Sequence[str],
    model: Source = None,
    top_k: int | None = None,
    min_score: float | None = None,
    score: str = "score",
) -> IntoDataFrameT:
    """Return a table of the same kind with all columns, the rows sorted by score, best first.

    `text` names the columns to read ("title, body" or a list), joined by spaces; nulls are skipped. The new column is
    called `score`. The default `model` is the embedded one. Rows with equal scores keep their order, and a pandas index
    stays with its row.

    Raises InputError for anything but a table, a missing column, an existing column `score`, and a row (given by its
    number) whose values are null or not text.
    """
    table = _table(frame)
    fields = text_fields(text)
    missing = [name for name in fields if name not in table.columns]
    if missing:
        raise InputError(f"the table has no column {missing[0]}; it has {', '.join(map(str, table.columns))}")
    if score in table.columns:
        raise InputError(f"the table has a column {score} already; name another one with score=")

    rows = table.select(*fields).iter_rows(named=True)
    texts = [joined_fields(_without_nan(row), f"row {number}", fields) for number, row in enumerate(rows)]
    ranked = opened(model).rank(query, texts, top_k=top_k, min_score=min_score)

    best = table[[item["corpus_id"] for item in ranked]]
    scores = nw.new_series(score, [item["score"] for item in ranked], nw.Float64, backend=table.implementation)
    native = best.to_native()
    if hasattr(native, "index"):  # pandas aligns columns by their index
        scores = nw.from_native(scores.to_native().set_axis(native.index), series_only=True)
    result: IntoDataFrameT = best.with_columns(scores).to_native()
    return result


def _table(frame: Any) -> "nw.DataFrame[Any]":
    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise InputError(
            f"{type(frame).__name__} is not an in-memory table of pandas, polars or Arrow; collect a lazy frame first"
        ) from error
    except nw.exceptions.DuplicateError as error:
        raise InputError("the table has several columns of one name; rename them") from error


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with None for the missing values of pandas, which are NaN, NaT or pandas.NA."""
    return {name: None if _is_missing(value) else value for name, value in row.items()}


def _is_missing(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return is_nan or type(value).__name__ in ("NAType", "NaTType")  # pandas may not be installed
