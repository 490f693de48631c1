"""One server over HTTP: persistent connections, limited retries, and errors that name the next step."""

import functools
import json
import os
import re
import ssl
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Self
from urllib.parse import SplitResult, urlsplit

import httpx2

from plackett._wording import one_line
from plackett.errors import RemoteError, SettingError

KEY = "PLACKETT_API_KEY"

TRY_AGAIN = {429, 502, 503, 504}
DROPPED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError, httpx2.CloseError)
SHOWN = 200  # characters of a server's error message


@dataclass(frozen=True)
class Limits:
    """Limits of a connection: how long it waits, in seconds, and how much it reads.

    `connect` limits the wait for a connection, and `answer` the wait for a complete reply of at most `largest` bytes.
    `pauses` precede each further attempt; they are longer if the server requests it, but at most `patience` seconds in
    all.
    """

    connect: float = 5.0
    answer: float = 60.0
    largest: int = 64_000_000
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    patience: float = 60.0
    sleep: Callable[[float], None] = time.sleep


LIMITS = Limits()


@dataclass(frozen=True)
class Address:
    """The parts of a URL: `host` for messages, `base` before each of `paths`, and `model`, the part after the `#`."""

    host: str
    base: str
    query: str
    paths: tuple[str, ...]
    model: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL. SettingError if it is not an address. A path that begins with `rerank` is used unchanged."""
        parts, name = _server(url)

        before, _, last = parts.path.rstrip("/").rpartition("/")
        whole = last.startswith("rerank")
        path = before if whole else parts.path.rstrip("/")
        versions = () if whole or re.fullmatch(r"v\d+", last) else ("/v2/rerank", "/v1/rerank")
        paths = (*versions, f"/{last}" if whole else "/rerank")

        return cls(name, f"{parts.scheme}://{name}{path}", parts.query, paths, parts.fragment or None)

    def url(self, path: str) -> str:
        """Return the URL of `path`."""
        return f"{self.base}{path}" + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True)
class Reply:
    """A reply: `body` is its JSON, None if it has none; `says` is the server's message if the reply is an error."""

    status: int
    body: object
    says: str
    server: str
    location: str
    wait: float

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status == 200


class Connection:
    """Sends requests to one server. Threads may share it.

    A busy server (429, 502, 503, 504) and a dropped connection are tried again after a pause, within `limits`.
    Redirects are not followed, because the key in the environment variable `KEY` is for this address only.
    """

    def __init__(self, address: Address, limits: Limits | None = None) -> None:
        self.address = address
        self._limits = limits or LIMITS
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise SettingError(f"{KEY} contains characters that are not valid in a key; set it again")
        headers = {"User-Agent": f"plackett/{version('plackett')}"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = httpx2.Timeout(self._limits.answer, connect=self._limits.connect, pool=None)
        self._client = httpx2.Client(headers=headers, timeout=timeout, follow_redirects=False, verify=_certificates())
        weakref.finalize(self, self._client.close)

    def get(self, path: str) -> Reply:
        """Return the reply at `path`, whatever its status. RemoteError if there is none."""
        return self._send("GET", path, None)

    def post(self, path: str, question: Mapping[str, object]) -> Reply:
        """Return the reply to a JSON body, whatever its status. RemoteError if there is none."""
        return self._send("POST", path, question)

    def refusal(self, reply: Reply) -> RemoteError:
        """Return the error for a reply with another status than 200."""
        host, patience = self.address.host, self._limits.patience
        key = f"rejects the key in {KEY}" if self._key else f"requires a key: set {KEY}"
        nothing = f"{self.address.base} has no {', '.join(self.address.paths)}: give the full address"
        text = {
            401: f"{host} {key}",
            403: f"{host} {key}",
            404: nothing,
            405: nothing,
            413: f"{host} does not accept requests of this size: shorten the documents",
            429: f"{host} is overloaded, or requests a wait of more than {patience:.0f} s; try again later",
        }.get(reply.status, f"{host} refused the request (status {reply.status})")
        if 300 <= reply.status < 400:
            text = f"{host} redirects to {reply.location}; if you trust that, use it as the address"
        elif not self.address.model and "model" in reply.says.lower():
            text += "; if it requires a model name, append it to the address: #NAME"
        return RemoteError(f"{text} (it says: {reply.says})" if reply.says else text)

    def _send(self, method: str, path: str, question: Mapping[str, object] | None) -> Reply:
        limits, waited = self._limits, 0.0
        for pause in (*limits.pauses, None):
            try:
                reply = self._once(method, path, question)
                wait = max(pause or 0.0, reply.wait)
                if reply.status not in TRY_AGAIN or pause is None or waited + wait > limits.patience:
                    return reply
            except DROPPED as error:
                if pause is None:
                    raise RemoteError(
                        f"{self.address.host} dropped the connection: {self._without_key(error)}"
                    ) from error
                wait = pause
            limits.sleep(wait)
            waited += wait
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, question: Mapping[str, object] | None) -> Reply:
        host = self.address.host
        try:
            with self._client.stream(method, self.address.url(path), json=question) as response:
                return self._read(response)
        except DROPPED:
            raise
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise RemoteError(f"{host} cannot be reached ({self._without_key(error)}); is the server up?") from error
        except httpx2.TimeoutException as error:
            raise RemoteError(f"{host} did not respond within {self._limits.answer:.0f} s") from error
        except httpx2.RequestError as error:
            raise RemoteError(f"{host} failed the request: {self._without_key(error)}") from error

    def _read(self, response: httpx2.Response) -> Reply:
        """Read a reply within the limits on total time and size, however its chunks arrive."""
        host, limits = self.address.host, self._limits
        end, content = time.monotonic() + limits.answer, bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if time.monotonic() > end:
                raise RemoteError(f"{host} did not finish its response within {limits.answer:.0f} s")
            if len(content) > self._limits.largest:
                raise RemoteError(
                    f"{self.address.host} sent more than {self._limits.largest:,} bytes, too much for scores"
                )
        text = content.decode(errors="replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        status, headers = response.status_code, response.headers
        says = "" if status == 200 else self._without_key(_message(body, text))
        location = urlsplit(headers.get("Location", ""))._replace(query="", fragment="").geturl()
        return Reply(status, body, says, headers.get("Server", ""), location, _pause(headers.get("Retry-After", "")))

    def _without_key(self, text: object) -> str:
        return str(text).replace(self._key, "[key]") if self._key else str(text)


def _server(url: str) -> tuple[SplitResult, str]:
    """Split a URL, and name its host and port. SettingError if it is not an address, or contains a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        host = port = None
    if not host:
        raise SettingError(f"{url} is not an address such as http://localhost:8080")
    if parts.username is not None or parts.password is not None:
        raise SettingError(f"the address of {host} contains a password; remove it and set {KEY} instead")

    name = f"[{host}]" if ":" in host else host
    return parts, f"{name}:{port}" if port else name


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read the trusted certificates, once: it takes longer than a request."""
    return httpx2.create_ssl_context()


def _message(body: object, text: str) -> str:
    """Return the server's error message: TEI and llama.cpp send `error`, Cohere `message`, Jina `detail`."""
    while isinstance(body, dict):
        body = next((body[name] for name in ("message", "error", "detail") if body.get(name)), None)
    words = one_line(text if body is None else body)
    return words if len(words) <= SHOWN else words[:SHOWN] + "…"


def _pause(header: str) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
