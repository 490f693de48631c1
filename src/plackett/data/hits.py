"""Records from search engines' responses: Elasticsearch, OpenSearch, Meilisearch, Typesense and Solr."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plackett.data.fields import DOCUMENT_NAMES, TEXT_NAMES

LISTS = (("hits", "hits"), ("response", "docs"), ("hits",))  # where an answer keeps its list
SOURCES = ("_source", "document")  # where a hit keeps its record
OWN = {"docs", *TEXT_NAMES, *DOCUMENT_NAMES}  # keys of records that are none of these


def unwrapped(entries: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Return the records of each answer instead of it, and of each hit; other values stay."""
    for where, value in entries:
        hits = _hits(value)
        if hits is None:
            yield where, _record(value)
        else:
            yield from ((f"{where}: hit {index}", _record(hit)) for index, hit in enumerate(hits))


def _hits(value: Any) -> list[Any] | None:
    """Return the list of an answer; None for what is not an answer."""
    if not isinstance(value, Mapping) or not OWN.isdisjoint(value):
        return None
    for path in LISTS:
        found: Any = value
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, list):
            return found
    return None


def _record(hit: Any) -> Any:
    """Return the record of a hit, with the hit's id."""
    if not isinstance(hit, Mapping):
        return hit
    for name in SOURCES:
        if isinstance(source := hit.get(name), Mapping):
            return {key: hit[key] for key in ("_id",) if key in hit} | dict(source)
    return hit
