"""Two lists as rows of a file and as records, for tests of readers."""

import json
from collections.abc import Iterable, Mapping

from plackett.records import LabeledList

ROWS = [
    {"query": "q one", "docs": ["a", "b"], "labels": [1, 0.5]},
    {"query": "q zwei", "docs": ["東京"], "labels": [2]},
]
LISTS = [LabeledList("q one", ("a", "b"), (1.0, 0.5)), LabeledList("q zwei", ("東京",), (2.0,))]


def lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
