"""HTML tables of results for notebooks, beside the plain values."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

T = TypeVar("T", bound=Mapping[str, Any])

MOST_ROWS = 50
MOST_CHARACTERS = 300


class Ranking(list[T]):
    """A list of ranked documents, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        """Return a row for each document: rank, score, id, and the text if it was requested."""
        with_text = any("text" in item or "document" in item for item in self)
        head = ("rank", "score", "id", *(["text"] if with_text else []))
        rows = [
            (str(rank), f"{item['score']:.4f}", str(item.get("id", item["corpus_id"])), *([_text(item)] * with_text))
            for rank, item in enumerate(self[:MOST_ROWS], start=1)
        ]
        left = len(self) - len(rows)
        return html_table(head, rows) + (f"<p>and {left:,} more</p>" if left else "")


def _text(item: Mapping[str, Any]) -> str:
    text = item.get("text")
    if text is None:
        text = ", ".join(f"{name}: {value}" for name, value in item.get("document", {}).items())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts, with any markup in them escaped."""
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(f'<td style="text-align: left">{escape(cell)}</td>' for cell in row) + "</tr>")
    return "<table>" + "".join(lines) + "</table>"
