"""Texts by id on disk, for a corpus that is larger than memory."""

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from plackett._sqlite import rows_in
from plackett.data.documents import OF_CORPUS, OF_QUERIES
from plackett.data.fields import ID_NAMES, TEXT_NAMES, id_of, text_of
from plackett.data.rows import NO_COLUMNS, Columns, read_rows
from plackett.errors import DataError


def write_texts(path: Path, sources: Sequence[tuple[str, Path, Columns]]) -> None:
    """Write tables of ids and texts into a new SQLite file, from files of any format, row by row."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    database = sqlite3.connect(beside, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        for table, source, columns in sources:
            database.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID")
            database.executemany(f"INSERT INTO {table} VALUES (?, ?)", _rows(source, columns))
        database.execute("COMMIT")
    except sqlite3.IntegrityError as error:
        raise DataError(f"{source}: an id is listed twice") from error
    finally:
        database.close()
    beside.replace(path)


def _rows(path: Path, columns: Columns) -> Iterator[tuple[str, str]]:
    for where, row in read_rows(path, columns=columns):
        filled = {name: "" if value is None and name in TEXT_NAMES else value for name, value in row.items()}
        yield id_of(where, row, ID_NAMES), text_of(where, filled, (*TEXT_NAMES, "query"))


def columns_of_texts(columns: Columns, *, queries: bool) -> Columns:
    """Return the columns of a file of queries or of a corpus, under its reader's names."""
    known = OF_QUERIES if queries else OF_CORPUS
    return {known[name]: given for name, given in columns.items() if name in known} or NO_COLUMNS


class Texts:
    """Reads files of `write_texts`. Several processes may share one, even on a file system without locks."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True, check_same_thread=False)
        weakref.finalize(self, self._database.close)

    def average(self, table: str) -> float:
        """Return the average number of characters of a text."""
        [(average,)] = self._database.execute(f"SELECT avg(length(text)) FROM {table}")
        return average or 0.0

    def find(self, table: str, ids: Iterable[object]) -> dict[str, str]:
        """Return the texts of ids, without the unknown ones."""
        return rows_in(self._database, table, ("id", "text"), list(dict.fromkeys(map(str, ids))))
