"""What surrounds every request: its id, the key, metrics, and a line of JSON in the log, without texts."""

import asyncio
import json
import logging
import re
import sys
import time
import uuid
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plackett.serving.dispatch import PREFIXES
from plackett.serving.limits import check_key, release
from plackett.serving.refusal import Refusal
from plackett.serving.replies import NOTES, on_error
from plackett.serving.service import CLIENT_LEFT, Service

LOGGER = logging.getLogger("plackett.serving.access")
OPEN = {  # paths without a key, for GET and HEAD
    f"{prefix}{path}"
    for prefix in ("", *(f"/{prefix}" for prefix in PREFIXES))
    for path in ("/", "/health", "/ready", "/ping")
}
STARTED = "plackett.started"  # scope key: whether the response has started
ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Access:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._key = service.settings.key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = _path(scope["path"])
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        scope["plackett.id"] = id_ = given if ID.fullmatch(given) else uuid.uuid4().hex
        notes = scope[NOTES] = {}
        began, status = time.perf_counter(), CLIENT_LEFT

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                scope[STARTED] = True
                message["headers"] = [*message["headers"], (b"x-request-id", id_.encode())]
            await send(message)

        try:
            await self._guarded(request, receive, tell)
        finally:
            release(scope, self._service.buffer)
            self._note(request, status, time.perf_counter() - began, notes)

    async def _guarded(self, request: Request, receive: Receive, send: Send) -> None:
        is_open = request.method in ("GET", "HEAD") and request.scope["path"] in OPEN
        try:
            if not is_open:
                check_key(request.headers.get("authorization", ""), self._key)
            await self._app(request.scope, receive, send)
        except Refusal as error:
            await self._refuse(request, error, receive, send)
        except asyncio.CancelledError:  # when draining ends
            if request.scope.get(STARTED):
                raise
            end = Refusal(503, "the server is shutting down", headers={"Retry-After": "1"})
            await self._refuse(request, end, receive, send)

    @staticmethod
    async def _refuse(request: Request, error: Refusal, receive: Receive, send: Send) -> None:
        response = await on_error(request, error)
        await response(request.scope, receive, send)

    def _note(self, request: Request, status: int, seconds: float, notes: dict[str, object]) -> None:
        path = str(notes.pop("route", "other"))
        if request.method not in ("GET", "HEAD"):  # those are probes, scrapes and pages
            self._count(path, status, seconds)
        if self._service.settings.access_log:
            line = {
                "time": round(time.time(), 3),
                "id": request.scope["plackett.id"],
                "method": request.method,
                "path": quote(request.scope["path"][:200]),
                "status": status,
                "milliseconds": round(1000 * seconds, 1),
                **notes,
            }
            LOGGER.info(json.dumps(line))

    def _count(self, path: str, status: int, seconds: float) -> None:
        metrics = self._service.metrics
        metrics.count("te_request_count", path)
        if status == CLIENT_LEFT:
            metrics.count("plackett_left", path)
        elif status < 300:
            metrics.count("te_request_success", path)
            metrics.observe("te_request_duration", seconds)
        else:
            metrics.count("te_request_failure", str(status))


def _path(target: str) -> str:
    """Return the path of a request's target, which may be a URL, or a prefix as the base URL of a client."""
    scheme, separator, rest = target.partition("://")
    path = f"/{rest.partition('/')[2]}" if separator and scheme.lower() in ("http", "https") else target
    return f"{path}/" if path[1:] in PREFIXES else path


def log_to_stderr() -> None:
    """Write the lines of the log unchanged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
