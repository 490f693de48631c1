"""The routes of the server."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from plackett.dialects import DIALECTS, Dialect
from plackett.errors import RequestError
from plackett.serving.access import Access
from plackett.serving.dispatch import INVOCATIONS, PREFIXES, ROOT, prefixed_routes, routes
from plackett.serving.documentation import documented
from plackett.serving.pages import Pages
from plackett.serving.refusal import Refusal
from plackett.serving.replies import NOTES, on_error
from plackett.serving.reranking import predict, rerank, rerank_or_predict
from plackett.serving.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]
EXPOSED = ("Retry-After", "Warning", "X-Request-Id")


def build_app(service: Service, reload: Callable[[], Awaitable[None]]) -> ASGIApp:
    """Build the application. `reload` reloads the models."""
    pages = Pages(service, reload)
    prefixed = [Mount(f"/{prefix}", routes=_routes(service, pages, prefix)) for prefix in PREFIXES]
    errors = (Refusal, RequestError, HTTPException, ClientDisconnect, Exception)
    app = Starlette(
        routes=[*_routes(service, pages, ""), *prefixed], exception_handlers=dict.fromkeys(errors, on_error)
    )
    app.router.redirect_slashes = False
    return _with_cors(Access(app, service), service.settings.cors_origins)


def _with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Allow pages of other origins. CORS precedes the check of the key, because preflights have none."""
    if not origins:
        return app
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=EXPOSED
    )


def _routes(service: Service, pages: Pages, prefix: str) -> list[BaseRoute]:
    found: dict[tuple[str, str], Endpoint] = dict(pages.endpoints(prefix))
    ranking = prefixed_routes(prefix) if prefix else routes()
    for path, dialects in ranking.items():
        found["POST", path] = _ranking(service, path, dialects)
    if not prefix:
        found |= documented([*found])
    if prefix in ("", "tei"):
        found["POST", "/predict"] = partial(predict, service)
    return [_route(path, found) for path in dict.fromkeys(path for _, path in found)]


def _ranking(service: Service, path: str, dialects: Sequence[Dialect]) -> Endpoint:
    takes_inputs = path in (ROOT, INVOCATIONS) and DIALECTS["tei"] in dialects
    return partial(rerank_or_predict if takes_inputs else rerank, service, dialects)


def _route(path: str, endpoints: dict[tuple[str, str], Endpoint]) -> Route:
    """Return one route for all methods of a path, so that status 405 lists all of them in `Allow`."""
    methods = {method: endpoint for (method, at), endpoint in endpoints.items() if at == path}

    async def dispatch(request: Request) -> Response:
        request.scope[NOTES]["route"] = path
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return Route(path.replace("{model}", "{model:path}"), dispatch, methods=list(methods))
