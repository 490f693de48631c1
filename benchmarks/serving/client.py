"""A small HTTP client for load tests: it needs little processor time, keeps connections and records outcomes."""

import asyncio
import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks.serving.workload import Question

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
IDLE = 5.0  # seconds that a connection is kept unused, as in httpx: a server may close an older one at any moment
Supply = Callable[[], Question]


@dataclass
class Record:
    """Outcomes: latencies in seconds, and how many responses were right, wrong, refused or lost."""

    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    seconds: float = 0.0


class Client:
    """Client of one server."""

    def __init__(self, port: int, path: str = "/rerank") -> None:
        self.port = port
        self._path = path
        self._idle: list[tuple[float, Link]] = []

    async def send(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. OSError or IncompleteReadError if no reply comes."""
        reader, writer = self._kept() or await self.connect()
        try:
            writer.write(self.head(len(body)) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            headers = {name.lower(): value for name, value in re.findall(r"\r\n([^:\r]+): *([^\r]*)", head)}
            reply = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((time.monotonic(), (reader, writer)))
        return int(head.split()[1]), headers, reply

    def _kept(self) -> Link | None:
        """Return the connection that was used last, unless it is too old."""
        while self._idle:
            since, link = self._idle.pop()
            if time.monotonic() - since < IDLE:
                return link
            link[1].close()
        return None

    async def connect(self) -> Link:
        """Open a connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, length: int) -> bytes:
        """The head of a request."""
        lines = (f"POST {self._path} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
        return ("\r\n".join(lines) + f"\r\nContent-Length: {length}\r\n\r\n").encode()

    async def get(self, path: str) -> bytes:
        """The body of a GET."""
        reader, writer = await self.connect()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        reply = await reader.read()
        writer.close()
        return reply.partition(b"\r\n\r\n")[2]

    async def ask(self, question: Question, record: Record, began: float | None = None) -> None:
        """Send a request and record its outcome; `began` is the time at which it was due."""
        began = time.perf_counter() if began is None else began
        try:
            status, headers, body = await self.send(question.body)
        except (OSError, asyncio.IncompleteReadError):
            record.outcomes["lost"] += 1
            return
        if status == 200:
            right = not question.logits or question.is_answered_by(body)
            record.outcomes["right" if right else "wrong"] += 1
            record.latencies.append(time.perf_counter() - began)
            record.pairs += len(question.logits)
        elif status in (429, 503) and headers.get("retry-after", "").isdecimal():
            record.outcomes["refused"] += 1
            await asyncio.sleep(int(headers["retry-after"]))
        else:
            record.outcomes[f"status {status}"] += 1

    async def ask_until_answered(self, question: Question, record: Record) -> None:
        """Send a request again until a response arrives, like a client that retries."""
        began = time.perf_counter()
        while True:
            attempt = Record()
            await self.ask(question, attempt, began)
            if attempt.latencies or attempt.outcomes["wrong"]:
                break
            record.outcomes["sent again"] += 1
            self._idle.clear()
            await asyncio.sleep(0.1)
        record.latencies += attempt.latencies
        record.outcomes += attempt.outcomes


async def closed_loop(client: Client, supply: Supply, clients: int, seconds: float) -> Record:
    """Let several clients each send the next request as soon as a response arrives."""
    record, began = Record(), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() - began < seconds:
            await client.ask(supply(), record)

    await asyncio.gather(*(one() for _ in range(clients)))
    record.seconds = time.perf_counter() - began
    return record


async def open_loop(
    client: Client, send: Callable[[Record, float], Awaitable[None]], rate: float, seconds: float
) -> Record:
    """Send requests at random times, without waiting for earlier responses, so a slow server cannot hide delays."""
    rng, record, tasks = random.Random(1), Record(), []
    began = at = time.perf_counter()
    while (at := at + rng.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        tasks.append(asyncio.ensure_future(send(record, at)))
    await asyncio.gather(*tasks)
    record.seconds = time.perf_counter() - began
    return record


async def leave(client: Client, question: Question, share: float = 1.0) -> None:
    """Send a request, or a part of it, and disconnect."""
    _, writer = await client.connect()
    data = client.head(len(question.body)) + question.body
    with contextlib.suppress(OSError):
        writer.write(data[: int(len(data) * share)])
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.transport.abort()
