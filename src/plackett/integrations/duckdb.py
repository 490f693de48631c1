"""DuckDB: an SQL function that scores a query with a text."""

import contextlib

from plackett._inputs import is_blank
from plackett.integrations._shared import Source, framework, opened

with framework("duckdb", "duckdb", "1.0"):
    import duckdb
    import pyarrow as pa


def register(connection: "duckdb.DuckDBPyConnection", model: Source = None, *, name: str = "plackett_score") -> None:
    """Add the function `name`(query, text) to a connection: it returns the reranker's score, or NULL for blank texts.

    An earlier function of this name is replaced.

    DuckDB passes up to 2,048 rows at a time, which are scored together. Rerank the rows found by a search, not a whole
    table.
    """
    encoder = opened(model)

    def score(queries: "pa.ChunkedArray", texts: "pa.ChunkedArray") -> "pa.Array":
        pairs = list(zip(queries.to_pylist(), texts.to_pylist(), strict=True))
        filled = [index for index, pair in enumerate(pairs) if not any(is_blank(text or "") for text in pair)]
        scores: list[float | None] = [None] * len(pairs)
        for index, value in zip(filled, encoder.predict([pairs[index] for index in filled]).tolist(), strict=True):
            scores[index] = value
        return pa.array(scores, pa.float32())

    with contextlib.suppress(duckdb.InvalidInputException):  # there is none
        connection.remove_function(name)
    text, number = duckdb.sqltypes.VARCHAR, duckdb.sqltypes.FLOAT
    connection.create_function(name, score, [text, text], number, type="arrow", null_handling="special")
