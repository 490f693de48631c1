"""The other endpoints: home page, health, models, tokens, metrics and reloading."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from plackett.dialects.requests import given_fields, text, texts
from plackett.errors import RequestError
from plackett.serving.aside import aside
from plackett.serving.limits import check_counts, read_body
from plackett.serving.metrics import CONTENT_TYPE
from plackett.serving.refusal import Refusal
from plackett.serving.replies import json_response, page_headers
from plackett.serving.reranking import LABEL
from plackett.serving.service import Service
from plackett.serving.settings import Settings
from plackett.serving.strict_json import read_json

Endpoint = Callable[[Request], Awaitable[Response]]


def home_page() -> str:
    """Return the home page as a single file, so that browsers need nothing that requires the key."""
    folder = files("plackett.serving") / "static"
    html = (folder / "index.html").read_text(encoding="utf-8")
    for name in ("page.css", "page.js"):
        html = html.replace(f"/* {name} */", (folder / name).read_text(encoding="utf-8"))
    return html


def _texts_of(content: bytes, settings: Settings) -> tuple[Mapping[str, object], str, tuple[str, ...]]:
    """Return the fields of a request for tokens, the name of the one with the texts, and the texts."""
    body = read_json(content, settings.max_nesting)
    check_counts(body, settings)
    given = given_fields(body)
    name = "prompt" if "prompt" in given else "inputs"
    if name not in given:
        raise RequestError(f"{name} is missing", field=name)
    found = texts(name, given[name])
    if sum(map(len, found)) > settings.max_characters // 10:
        raise Refusal(422, "the texts are too long", field=name)
    return given, name, found


class Pages:
    """Endpoints of one server. `reload` reloads the models."""

    def __init__(self, service: Service, reload: Callable[[], Awaitable[None]]) -> None:
        self._service = service
        self._reload = reload
        self._home = home_page()

    def endpoints(self, prefix: str) -> Iterator[tuple[tuple[str, str], Endpoint]]:
        """Yield endpoints by method and path. Each prefix has those that its clients use."""
        yield ("GET", "/"), (self.health if prefix else self.home)
        for path in ("/health", "/ping"):
            yield ("GET", path), self.health
        yield ("GET", "/ready"), self.ready
        yield ("GET", "/v1/models"), self.models
        yield ("GET", "/models"), self.infinity_models
        yield ("GET", "/info"), self.info
        yield ("POST", "/tokenize"), self.tokenize
        if not prefix:
            yield ("GET", "/metrics"), self.metrics
            yield ("POST", "/admin/reload"), self.reload

    async def home(self, request: Request) -> Response:
        """Return the page to browsers, and the health to clients that expect it here."""
        vary = {"Vary": "Accept"}
        if "text/html" not in request.headers.get("accept", ""):
            return json_response({"status": "ok"}, headers=vary)
        return HTMLResponse(self._home, headers={**page_headers(self._home), **vary})

    async def health(self, _request: Request) -> Response:
        """Report that the process is alive."""
        return json_response({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Report whether the models are loaded and warm."""
        if self._service.is_ready:
            return json_response({"status": "ready"})
        status = "draining" if self._service.draining else "loading"
        return json_response({"status": status}, 503, {"Retry-After": "1"})

    async def models(self, _request: Request) -> Response:
        """List the models in OpenAI's format."""
        return json_response({"object": "list", "data": [self._model(name) for name in self._service.models.by_name]})

    async def infinity_models(self, _request: Request) -> Response:
        """List the models in Infinity's format; its client requires all of these values."""
        batcher = self._service.batcher
        stats = {
            "queue_fraction": min(1.0, batcher.queued / self._service.settings.queue_tokens),
            "queue_absolute": batcher.waiting,
            "results_pending": batcher.waiting,
            "batch_size": self._service.settings.max_documents,
        }
        extra = {"owned_by": "infinity", "backend": "plackett", "stats": stats, "capabilities": ["rerank"]}
        models = [{**self._model(name), **extra} for name in self._service.models.by_name]
        return json_response({"object": "list", "data": models})

    async def info(self, _request: Request) -> Response:
        """Describe the server in TEI's format."""
        settings, model = self._service.settings, self._service.models.default
        labels = {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}}
        return json_response(
            {
                "model_id": model.name,
                "model_sha": None,
                "model_dtype": settings.precision or "float32",
                "model_type": {"reranker": labels},
                "max_concurrent_requests": settings.queue_tokens // model.reader.max_length or 1,
                "max_input_length": model.reader.max_length,
                "max_batch_tokens": self._service.batcher.batch_tokens,
                "max_batch_requests": None,
                "max_client_batch_size": settings.max_documents,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": version("plackett"),
                "sha": None,
                "docker_label": None,
            }
        )

    async def tokenize(self, request: Request) -> Response:
        """Return tokens, in TEI's format for `inputs` and in vLLM's for `prompt`."""
        content = await read_body(request, self._service.settings, self._service.buffer)
        given, name, found = await aside(len(content), _texts_of, content, self._service.settings)
        model = text("model", given["model"]) if "model" in given else None
        reader = self._service.models.find(model, strict=False).reader
        special = given.get("add_special_tokens") is not False
        tokens = await asyncio.to_thread(reader.tokens, found, special=special)
        if name == "inputs":
            return json_response([[asdict(token) for token in row] for row in tokens])
        ids = [token.id for row in tokens for token in row]
        return json_response({"tokens": ids, "count": len(ids), "max_model_len": reader.max_length})

    async def metrics(self, _request: Request) -> Response:
        """Return the metrics in Prometheus' format."""
        return Response(self._service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def reload(self, _request: Request) -> Response:
        """Reload the models. Requests in progress keep the old ones."""
        if not self._service.settings.key:
            raise Refusal(403, "reloading needs a server with a key; start it with --api-key, or send it SIGHUP")
        await self._reload()
        return json_response({"models": list(self._service.models.by_name)})

    def _model(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._service.started, "owned_by": "plackett"}
