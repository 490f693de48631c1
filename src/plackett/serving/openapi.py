"""An OpenAPI document of the routes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from plackett.serving.dispatch import routes
from plackett.serving.schemas import SCHEMAS

STATUSES = {
    "400": "Invalid JSON, an empty list, or a limit that does not fit the model",
    "401": "The key is missing or wrong",
    "403": "The server has no key, which this endpoint requires",
    "404": "Unknown path or model",
    "408": "The request was not sent in time",
    "413": "The body is too large",
    "415": "The body is not uncompressed JSON",
    "422": "The body has the wrong structure, or too many documents or characters",
    "429": "Overloaded; try again after Retry-After seconds",
    "431": "The headers are too large",
    "500": "The model could not score the request",
    "503": "The model is being loaded, or the server is shutting down",
    "504": "The request timed out",
}
RETRIED = ("429", "503")  # with Retry-After

# Dialect -> (schema of its requests, schema of its replies), if they differ from those of Cohere's dialect.
SHARED = ("RerankRequest", "RerankReply")
OF_DIALECTS = {
    "tei": ("TeiRequest", "TeiReply"),
    "sentence_similarity": ("SimilarityRequest", "SimilarityReply"),
    "vllm_score": ("ScoreRequest", "ScoreReply"),
    "nim": ("NimRequest", "NimReply"),
    "mixedbread": ("MixedbreadRequest", "MixedbreadReply"),
    "isaacus": ("TeiRequest", "IsaacusReply"),
    "deepinfra": ("DeepInfraRequest", "DeepInfraReply"),
}
PREDICT = ("PredictRequest", "PredictReply")

# (method, path) -> (summary, schemas of requests, schemas of replies) of endpoints other than ranking.
OTHERS: Mapping[tuple[str, str], tuple[str, Sequence[str], Sequence[str]]] = {
    ("GET", "/"): ("A page to try the server, or its health for clients that do not request HTML", [], ["Status"]),
    ("GET", "/health"): ("Whether the process is alive", [], ["Status"]),
    ("GET", "/ping"): ("Whether the process is alive", [], ["Status"]),
    ("GET", "/ready"): ("Whether the models are loaded and warm", [], ["Status"]),
    ("GET", "/v1/models"): ("The models, as OpenAI lists them", [], ["Models"]),
    ("GET", "/models"): ("The models, as Infinity lists them", [], ["Models"]),
    ("GET", "/info"): ("The server, as TEI describes itself", [], ["Info"]),
    ("POST", "/tokenize"): ("The tokens of texts", ["TokenizeRequest"], ["TeiTokens", "VllmTokens"]),
    ("POST", "/predict"): ("The scores of pairs, in input order", [PREDICT[0]], [PREDICT[1]]),
    ("GET", "/metrics"): ("Metrics in Prometheus' format", [], []),
    ("GET", "/openapi.json"): ("This document", [], ["Anything"]),
    ("GET", "/docs"): ("This document as a page", [], []),
    ("POST", "/admin/reload"): ("Reload the models", [], ["Reloaded"]),
}
RANKING = "Rank documents by their relevance to a query"
TEXT_TYPES = {"/metrics": "text/plain", "/docs": "text/html"}

HEADERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
    }
    for name, description, schema in (
        ("X-Request-Timeout", "Seconds that the client will wait", {"type": "number", "minimum": 1}),
        (
            "X-Priority",
            "low waits longer and is refused first",
            {"enum": ["normal", "low", "high"]},
        ),
        ("X-Request-Id", "Returned, and written to the log", {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$"}),
    )
]


def document(endpoints: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Describe endpoints, given by method and path."""
    paths: dict[str, dict[str, object]] = {}
    for method, path in endpoints:
        shown = re.sub(r"\{(\w+):path\}", r"{\1}", path)
        paths.setdefault(shown, {})[method.lower()] = _operation(method, shown)
    about = {"title": "Plackett", "version": version("plackett"), "description": "A rerank server."}
    bearer = {"bearer": {"type": "http", "scheme": "bearer", "description": "Required if the server has a key."}}
    return {
        "openapi": "3.1.0",
        "info": about,
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": bearer},
    }


def _operation(method: str, path: str) -> dict[str, object]:
    summary, requests, replies = OTHERS.get((method, path)) or _ranking(path)
    names = re.findall(r"\{(\w+)\}", path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    found: dict[str, object] = {
        "operationId": f"{method.lower()}{re.sub(r'[^a-z0-9]+', '_', path.lower()).rstrip('_')}",
        "summary": summary,
        "parameters": [*parameters, *(HEADERS if requests else [])],
        "responses": {"200": _reply(path, replies), **_errors()},
    }
    if requests:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _any_of(requests)}}}
    return found


def _ranking(path: str) -> tuple[str, list[str], list[str]]:
    """Describe the requests and replies of the dialects at a path."""
    names = [dialect.name for dialect in routes()[path]]
    pairs = dict.fromkeys(OF_DIALECTS.get(name, SHARED) for name in names)
    if "tei" in names and path != "/rerank":
        pairs[PREDICT] = None
    return RANKING, [request for request, _ in pairs], [reply for _, reply in pairs]


def _reply(path: str, schemas: Sequence[str]) -> dict[str, object]:
    if path in TEXT_TYPES:
        return {"description": "Done", "content": {TEXT_TYPES[path]: {"schema": {"type": "string"}}}}
    content: dict[str, object] = {"application/json": {"schema": _any_of(schemas)}}
    if path == "/":
        content["text/html"] = {"schema": {"type": "string"}}
    return {"description": "Done", "content": content}


def _errors() -> dict[str, object]:
    content = {"application/json": {"schema": _any_of(["Error", "TeiError", "Status"])}}
    wait = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
    return {
        status: {"description": text, "content": content, **({"headers": wait} if status in RETRIED else {})}
        for status, text in STATUSES.items()
    }


def _any_of(names: Sequence[str]) -> dict[str, object]:
    references: list[dict[str, object]] = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}
