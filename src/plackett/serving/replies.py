"""Responses: JSON bodies, and errors in the dialect of the request."""

import re
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from plackett.dialects import DIALECTS, Problem
from plackett.errors import RequestError
from plackett.serving.dispatch import presumed
from plackett.serving.refusal import Refusal
from plackett.serving.service import CLIENT_LEFT
from plackett.serving.strict_json import write_json

DIALECT, NOTES = "plackett.dialect", "plackett.notes"  # scope keys: the dialect's name, fields of the log
STRANGE = re.compile(r"[^\w.-]", re.ASCII)
NOT_ROUTED = {404: "there is no such path; GET /docs lists all", 405: "this path takes {}"}  # status -> message
SHOWN = 500  # characters of a warning header


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a JSON response."""
    return Response(write_json(value), status, dict(headers or {}), media_type="application/json")


def page_headers(html: str) -> dict[str, str]:
    """Return security headers for a page: it may only use its own content, and send requests only to this server."""
    inline = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL) for kind in ("style", "script")}
    allowed = "".join(f"; {kind}-src {' '.join(map(_source, texts))}" for kind, texts in inline.items() if texts)
    return {
        "Content-Security-Policy": f"default-src 'none'{allowed}; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def warning_header(ignored: Sequence[str]) -> dict[str, str]:
    """Return a header with the names of fields without effect, as far as they fit."""
    if not ignored:
        return {}
    names = ", ".join(STRANGE.sub("?", name[:40]) for name in ignored[:SHOWN])
    return {"Warning": f'299 plackett "ignored fields: {names[:SHOWN]}"'}


async def on_error(request: Request, error: Exception) -> Response:
    """Build the error response in the dialect of the request."""
    status, message, field, headers = _parts(error)
    name = request.scope.get(DIALECT)
    dialect = DIALECTS[name] if name else presumed(request.scope["path"])
    problem = Problem(status, message, field, request.scope.get("plackett.id", ""))
    return json_response(dialect.error(problem), status, headers)


def _parts(error: Exception) -> tuple[int, str, str, Mapping[str, str]]:
    if isinstance(error, Refusal):
        return error.status, str(error), error.field, error.headers
    if isinstance(error, RequestError):
        return error.status, str(error), error.field, {}
    if isinstance(error, HTTPException):
        headers = error.headers or {}
        message = NOT_ROUTED.get(error.status_code, str(error.detail))
        return error.status_code, message.format(headers.get("Allow")), "", headers
    if isinstance(error, ClientDisconnect):
        return CLIENT_LEFT, "the client disconnected", "", {}
    return 500, "internal server error", "", {}


def now() -> int:
    """Return the time in Unix seconds."""
    return int(time.time())
