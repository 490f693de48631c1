"""Compare servers on one checkpoint: throughput, and the latency of a short request among heavy ones."""

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._checkpoints import export, save
from benchmarks._common import counted
from benchmarks.serving.client import Client, closed_loop
from benchmarks.serving.workload import Question, Workload, heavy

ROOT = Path(__file__).parents[2]
LAYERS = 6
CLIENTS = (1, 8, 64)
SIZE, SHORT, HEAVY = 20, 5, 30
STARTING = 120  # seconds
QUIET = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


@dataclass(frozen=True)
class Peer:
    """Command that starts a server, with an interpreter or a program next to it, and the field for documents."""

    arguments: str
    documents: str


PEERS = {
    "plackett": Peer("-m plackett serve --model same={folder} --port {port} --no-access-log", "texts"),
    "infinity": Peer(
        "infinity_emb v2 --model-id {folder} --port {port} --engine torch --device cpu "
        "--no-bettertransformer --no-model-warmup",
        "documents",
    ),
    "flashrank": Peer("-m benchmarks.serving.flashrank_app {folder} {port}", "texts"),
}


def compare(pythons: dict[str, str], work: Workload, seconds: float) -> dict[str, object]:
    """Measure servers one by one, given as names with the interpreters that run them."""
    with tempfile.TemporaryDirectory() as made:
        folder = save(Path(made) / "same", layers=LAYERS)
        if problem := export(folder, "onnx", "fp32"):
            raise SystemExit(problem)
        found: dict[str, object] = {}
        for name, python in pythons.items():
            with _started(PEERS[name], python, folder) as port:
                found[name] = asyncio.run(_measure(PEERS[name], port, work, seconds))
        return found


@contextlib.contextmanager
def _started(peer: Peer, python: str, folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    arguments = [part.format(folder=folder, port=port) for part in peer.arguments.split()]
    if arguments[0] != "-m":
        python = str(Path(python).with_name(arguments.pop(0)))
    process = subprocess.Popen([python, *arguments], cwd=ROOT, env={**os.environ, **QUIET})
    try:
        asyncio.run(_until_ready(peer, port, process))
        yield port
    finally:
        process.kill()
        process.wait()


async def _until_ready(peer: Peer, port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the first response."""
    client, began = Client(port), time.monotonic()
    while time.monotonic() - began < STARTING and process.poll() is None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            status, _, _ = await client.send(_asked(peer, heavy(1)).body)
            if status == 200:
                return
        await asyncio.sleep(0.2)
    raise SystemExit(f"{process.args!r} did not respond")


async def _measure(peer: Peer, port: int, work: Workload, seconds: float) -> dict[str, object]:
    client, rng = Client(port), random.Random(9)
    found: dict[str, object] = {}
    for clients in CLIENTS:
        record = await closed_loop(client, lambda: _asked(peer, work.question(rng, SIZE)), clients, seconds)
        rate = SIZE * len(record.latencies) / record.seconds
        found[counted(clients, "client")] = {"pairs per second": round(rate), "outcomes": dict(record.outcomes)}

    alone = await closed_loop(client, lambda: _asked(peer, work.question(rng, SHORT)), 1, seconds / 3)
    streams = asyncio.ensure_future(closed_loop(client, lambda: _asked(peer, heavy(HEAVY)), 3, seconds))
    beside = await closed_loop(client, lambda: _asked(peer, work.question(rng, SHORT)), 1, seconds)
    await streams
    for name, record in (("short alone", alone), ("short beside heavy", beside)):
        found[name] = {
            f"p{share} ms": round(1000 * float(np.percentile(record.latencies, share)), 1) for share in (50, 99)
        }
    return found


def _asked(peer: Peer, question: Question) -> Question:
    """Return the request in the format of a server. Scores are not checked: the server may run another model."""
    body = json.loads(question.body)
    asked = {"query": body["query"], peer.documents: body["texts"]}
    return Question(json.dumps(asked).encode(), ())
