"""The OpenAPI document, as JSON and as a page without scripts."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from plackett.serving.openapi import document
from plackett.serving.replies import json_response, page_headers

Endpoint = Callable[[Request], Awaitable[Response]]
PATHS = (("GET", "/openapi.json"), ("GET", "/docs"))

HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plackett: HTTP interface</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow: auto; padding: .5rem; border: 1px solid; border-radius: .3rem; }
summary { cursor: pointer; padding: .3rem 0; overflow-wrap: anywhere; }
</style>
<body>
<main>
"""


def documented(endpoints: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Endpoint]:
    """Return the endpoints that describe all endpoints, including themselves."""
    described = document([*endpoints, *PATHS])
    html = page(described)

    async def openapi(_request: Request) -> Response:
        return json_response(described)

    async def docs(_request: Request) -> Response:
        return HTMLResponse(html, headers=page_headers(html))

    return dict(zip(PATHS, (openapi, docs), strict=True))


def page(described: Mapping[str, Any]) -> str:
    """Render a document as a page: its operations, then its schemas."""
    about = described["info"]
    parts = [
        f"<h1>{escape(about['title'])} {escape(about['version'])}</h1>",
        '<p>The machine-readable version: <a href="openapi.json">openapi.json</a></p>',
        "<h2>Paths</h2>",
        *(
            _operation(method, path, operation)
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
        ),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in described["components"]["schemas"].items()),
    ]
    return HEAD + "\n".join(parts) + "\n</main>\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    names = list(_references(operation.get("requestBody")))
    replies = list(_references(operation["responses"]["200"]))
    statuses = "".join(
        f"<li>{status}: {escape(response['description'])}" for status, response in operation["responses"].items()
    )
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>Request: {_links(names)}. Reply: {_links(replies)}.</p><ul>{statuses}</ul></details>"
    )


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    shown = escape(json.dumps(schema, indent=2))
    return f'<details id="{name}"><summary><code>{name}</code></summary><pre tabindex="0">{shown}</pre></details>'


def _links(names: list[str]) -> str:
    return ", ".join(f'<a href="#{name}">{name}</a>' for name in names) or "none"


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the schemas that a value refers to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item.rpartition("/")[2]
            else:
                yield from _references(item)
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
