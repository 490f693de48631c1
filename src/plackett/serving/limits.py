"""Limits of a request: its key, headers and body, all checked before anything is computed."""

import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from plackett.dialects import RerankRequest
from plackett.dialects.requests import DOCUMENTS
from plackett.serving.refusal import Refusal
from plackett.serving.settings import Settings

JSON = "application/json"
HELD = "plackett.held"  # scope key: bytes in the buffer
LISTS = (*DOCUMENTS, "items", "queries", "data_1", "data_2", "text_1", "text_2", "inputs", "sentences", "prompt")
CHARSETS = ("", "utf-8", "utf8", "us-ascii")


def check_key(authorization: str, key: str) -> None:
    """Raise Refusal, status 401, unless the header contains the key. Without a key, any client is accepted."""
    if not key:
        return
    scheme, _, given = authorization.strip().partition(" ")
    found = given.strip() if scheme.lower() == "bearer" else authorization.strip()
    if not hmac.compare_digest(found.encode("utf-8", "surrogatepass"), key.encode()):
        raise Refusal(
            401,
            "the key is missing or wrong: send Authorization: Bearer KEY",
            headers={"WWW-Authenticate": 'Bearer realm="plackett"'},
        )


def check_headers(headers: Headers, settings: Settings) -> None:
    """Raise Refusal for a body that is not JSON, is compressed, or is announced as too large."""
    _check_type(headers.get("content-type") or JSON)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "compressed bodies are not accepted", headers={"Accept-Encoding": "identity"})
    length = headers.get("content-length", "")
    if length and "transfer-encoding" in headers:
        raise Refusal(400, "Content-Length and Transfer-Encoding exclude each other", headers={"Connection": "close"})
    if length.isdecimal() and int(length[:20]) > settings.max_body_bytes:
        raise _too_large(settings)


def _check_type(content_type: str) -> None:
    kind, _, parameters = content_type.lower().partition(";")
    if kind.strip() != JSON and not kind.strip().endswith("+json"):
        raise Refusal(415, f"the body must be of type {JSON}")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(' "')
    if charset not in CHARSETS:
        raise Refusal(415, "the body must be in UTF-8")


@dataclass
class Buffer:
    """A bound on the bytes of all bodies in memory: at most `most`, or a single body of any size."""

    most: int
    held: int = 0

    def add(self, size: int, own: int) -> None:
        """Add to a body, which has `own` bytes so far. Refusal, status 429, if there is no room."""
        if self.held + size > self.most and self.held > own:
            raise Refusal(429, "the server has too many requests; try again later", headers={"Retry-After": "1"})
        self.held += size


async def read_body(request: Request, settings: Settings, buffer: Buffer) -> bytes:
    """Read a body and count its bytes: Refusal, status 413, once it is too large.

    Its bytes count towards the buffer until `release`.
    """
    check_headers(request.headers, settings)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > settings.max_body_bytes:
            raise _too_large(settings)
        buffer.add(len(part), size - len(part))
        request.scope[HELD] = size
        parts.append(part)
    return b"".join(parts)


def release(scope: Scope, buffer: Buffer) -> None:
    """Remove the bytes of a request that is finished."""
    buffer.held -= scope.pop(HELD, 0)


def check_counts(body: object, settings: Settings) -> None:
    """Raise Refusal, status 422, for too many texts, before they are read one by one."""
    fields = body if isinstance(body, dict) else {}
    inputs = fields.get("inputs")
    for name in LISTS:
        value = inputs.get(name) if isinstance(inputs, dict) and name in inputs else fields.get(name)
        if isinstance(value, list) and len(value) > settings.max_documents:
            raise _too_many(settings, name)


def check_size(request: RerankRequest, settings: Settings) -> None:
    """Raise Refusal, status 422, for too many documents or characters."""
    if len(request.documents) > settings.max_documents:
        raise _too_many(settings, "documents")
    texts = sum(map(len, request.queries)) + sum(len(document.text) for document in request.documents)
    if texts > settings.max_characters:
        raise Refusal(422, f"the texts have more than {settings.max_characters} characters", field="documents")


def _too_many(settings: Settings, field: str) -> Refusal:
    return Refusal(422, f"the request has more than {settings.max_documents} documents", field=field)


def _too_large(settings: Settings) -> Refusal:
    return Refusal(413, f"the body is larger than {settings.max_body_bytes} bytes")
