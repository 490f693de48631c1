"""Look up many keys in SQLite."""

import sqlite3
from collections.abc import Sequence
from typing import Any

VARIABLES = 900  # per statement


def rows_in(database: sqlite3.Connection, table: str, columns: tuple[str, str], keys: Sequence[Any]) -> dict[Any, Any]:
    """Map each key found in the table to its value.

    Raises sqlite3.Error. The names are not quoted: they must not come from a user.
    """
    key, value = columns
    found: dict[Any, Any] = {}
    for start in range(0, len(keys), VARIABLES):
        some = keys[start : start + VARIABLES]
        marks = ", ".join("?" * len(some))
        found |= dict(database.execute(f"SELECT {key}, {value} FROM {table} WHERE {key} IN ({marks})", some))
    return found
