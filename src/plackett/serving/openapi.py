"""An OpenAPI document of the routes."""

import re
from collections.abc import Iterable
from importlib.metadata import version

STATUSES = {
    "200": "Done",
    "400": "No JSON, or an empty list",
    "401": "No key, or the wrong one",
    "404": "Unknown model",
    "413": "The body is too large",
    "415": "The body is not plain JSON",
    "422": "The body has the wrong shape, or too much in it",
    "429": "Overloaded; try again after Retry-After seconds",
    "500": "The model could not score the request",
    "503": "The model is being loaded",
    "504": "The time for the request is over",
}


def document(endpoints: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Describe endpoints, given as methods and paths."""
    paths: dict[str, dict[str, object]] = {}
    for method, path in endpoints:
        shown = re.sub(r"\{(\w+):path\}", r"{\1}", path)
        paths.setdefault(shown, {})[method.lower()] = _operation(method, shown)
    about = {"title": "Plackett", "version": version("plackett"), "description": "A server of rerankers."}
    return {"openapi": "3.1.0", "info": about, "paths": paths}


def _operation(method: str, path: str) -> dict[str, object]:
    json = {"application/json": {"schema": {"type": "object"}}}
    names = re.findall(r"\{(\w+)\}", path)
    operation: dict[str, object] = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-z0-9]+', '_', path.lower()).rstrip('_')}",
        "responses": {status: {"description": text} for status, text in STATUSES.items()},
    }
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if method == "POST" and path != "/admin/reload":
        operation["requestBody"] = {"required": True, "content": json}
    return operation
