"""Records from search engines' responses: Elasticsearch, OpenSearch, Meilisearch, Typesense and Solr."""

from collections.abc import Iterable, Iterator
from typing import Any

from plackett.data.fields import DOCUMENT_NAMES, TEXT_NAMES

LISTS = (("hits", "hits"), ("response", "docs"), ("hits",))  # where a response keeps its list
SOURCES = ("_source", "document")  # where a hit keeps its record
OWN = {"docs", *TEXT_NAMES, *DOCUMENT_NAMES}  # keys of plain records, which are not hits
KEYS = {*SOURCES, *(path[0] for path in LISTS)}


def unwrapped(entries: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Return the records of each response and each hit; leave other values unchanged."""
    for where, value in entries:
        if not isinstance(value, dict) or KEYS.isdisjoint(value):  # a fast path for most rows of a corpus
            yield where, value
        elif (hits := _hits(value)) is None:
            yield where, _record(value)
        else:
            yield from ((f"{where}: hit {index}", _record(hit)) for index, hit in enumerate(hits))


def _hits(response: dict[str, Any]) -> list[Any] | None:
    """Return the list of a response; None for other values."""
    if not OWN.isdisjoint(response):
        return None
    for path in LISTS:
        found: Any = response
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, list):
            return found
    return None


def _record(hit: Any) -> Any:
    """Return the record of a hit, with the hit's id."""
    if not isinstance(hit, dict):
        return hit
    for name in SOURCES:
        if isinstance(source := hit.get(name), dict):
            return {key: hit[key] for key in ("_id",) if key in hit} | source
    return hit
