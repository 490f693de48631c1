"""Measure the server under load and with faults: `python -m benchmarks.serving.run`."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._common import counted, write_result
from benchmarks.serving.client import Client, Record, closed_loop, leave, open_loop
from benchmarks.serving.peers import PEERS, compare
from benchmarks.serving.workload import Workload, heavy, make_workload

RESULT = Path(__file__).parent / "results" / "serving.json"
CLIENTS = (1, 8, 64)
LOADS = (0.5, 0.8)
SATURATING = 12  # seconds
JOBS = 400_000  # of the simulation

Figures = dict[str, object]
Send = Callable[[Record, float], Awaitable[None]]


class Server:
    """A server process on a port that it chooses."""

    def __init__(self, model: str | None, port: int = 0) -> None:
        chosen = ["--model", f"model={model}"] if model else []
        command = [sys.executable, "-m", "plackett", "serve", "--port", str(port), "--no-access-log", *chosen]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        if self.process.stderr is None:
            raise AssertionError
        line = self.process.stderr.readline()
        found = re.search(r"at http://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        self.port = int(found[1])

    async def until_ready(self) -> None:
        """Wait for the model."""
        while b"ready" not in await Client(self.port).get("/ready"):
            await asyncio.sleep(0.01)

    def resident(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        """Kill the process, as a failing machine does."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def server(model: str | None) -> Iterator[Server]:
    """A server that is ready."""
    started = Server(model)
    try:
        asyncio.run(started.until_ready())
        yield started
    finally:
        started.stop()


def milliseconds(latencies: list[float]) -> Figures:
    """Median and tail."""
    return {f"p{share} ms": round(1000 * float(np.percentile(latencies, share)), 1) for share in (50, 99)}


def md1_p99(load: float) -> float:
    """Return the 99th percentile of the time in a queue: Poisson arrivals, one server, equal jobs of length 1."""
    rng = np.random.default_rng(0)
    steps = 1 - rng.exponential(1 / load, JOBS)  # what each job adds to the wait of the next
    walk = np.cumsum(steps)
    waits = walk - np.minimum.accumulate(np.minimum(walk, 0))
    return float(np.percentile(waits, 99)) + 1


async def throughput(client: Client, work: Workload, seconds: float) -> Figures:
    """Saturated pairs per second, and the library's own: before, between and after two runs with each number."""
    rng = random.Random(2)
    found: Figures = {}
    for clients in CLIENTS:
        rates, records = [work.library_rate()], []
        for _ in range(2):
            records.append(await closed_loop(client, partial(work.question, rng), clients, seconds))
            rates.append(work.library_rate())
        rate = sum(record.pairs for record in records) / sum(record.seconds for record in records)
        library = statistics.mean(rates)
        found[counted(clients, "client")] = {
            "pairs per second": round(rate),
            "library, pairs per second": round(library),
            "share of the library's": round(rate / library, 3),
            **milliseconds([latency for record in records for latency in record.latencies]),
            "outcomes": dict(sum((record.outcomes for record in records), Counter[str]())),
        }
    return found


async def latency(client: Client, work: Workload, seconds: float) -> Figures:
    """Open loop, and the bound of a queue of equal jobs at the rate saturated before and after it."""
    rng = random.Random(3)
    found: Figures = {}

    async def send(record: Record, at: float) -> None:
        await client.ask(work.question(rng), record, at)

    async def saturated() -> float:
        record = await closed_loop(client, partial(work.question, rng), 8, SATURATING)
        return len(record.latencies) / record.seconds

    for load in LOADS:
        before = await saturated()
        record = await open_loop(client, send, load * before, seconds)
        rate = statistics.mean([before, await saturated()])
        bound = md1_p99(load * before / rate) / rate
        p99 = float(np.percentile(record.latencies, 99))
        found[f"at {load}"] = {
            "saturated, requests per second": round(rate, 2),
            "load": round(load * before / rate, 3),
            **milliseconds(record.latencies),
            "bound, p99 ms": round(1000 * bound, 1),
            "p99 over bound": round(p99 / bound, 2),
            "outcomes": dict(record.outcomes),
        }
    return found


async def beside_heavy(client: Client, work: Workload, seconds: float) -> Figures:
    """Measure a short request alone and among three streams of heavy ones, and `/health` among them."""
    rng, record, health = random.Random(4), Record(), list[float]()
    alone = await closed_loop(client, partial(work.question, rng, 5), 1, seconds / 3)
    streams = asyncio.ensure_future(closed_loop(client, heavy, 3, seconds))
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        await client.ask(work.question(rng, 5), record)
        asked = time.perf_counter()
        await client.get("/health")
        health.append(time.perf_counter() - asked)
        await asyncio.sleep(0.02)
    await streams
    batch = await _mean_batch(client)
    limit = 3 * float(np.percentile(alone.latencies, 50)) + batch
    return {
        "alone": milliseconds(alone.latencies),
        "beside": {**milliseconds(record.latencies), "outcomes": dict(record.outcomes)},
        "a batch, ms": round(1000 * batch, 1),
        "p99 over (3 p50 alone + a batch)": round(float(np.percentile(record.latencies, 99)) / limit, 2),
        "health": milliseconds(health),
    }


async def _mean_batch(client: Client) -> float:
    text = (await client.get("/metrics")).decode()
    parts = {
        name: float(re.findall(rf"^te_request_inference_duration_{name} (\S+)", text, re.MULTILINE)[0])
        for name in ("sum", "count")
    }
    return parts["sum"] / max(parts["count"], 1)


async def abandoned(client: Client, work: Workload) -> Figures:
    """Measure the request that follows 12 heavy ones whose clients left."""
    rng, alone, after = random.Random(5), Record(), Record()
    for _ in range(10):
        await client.ask(work.question(rng), alone)
    for _ in range(3):
        await asyncio.gather(*(leave(client, heavy()) for _ in range(12)))
        await asyncio.sleep(0.5)
        await client.ask(work.question(rng), after)
    usual, worst = float(np.median(alone.latencies)), max(after.latencies)
    return {
        "usual ms": round(1000 * usual, 1),
        "worst of 3 ms": round(1000 * worst, 1),
        "ratio": round(worst / usual, 2),
    }


async def soak(client: Client, work: Workload, started: Server, rate: float, seconds: float) -> Figures:
    """Run a mixed load with faults: clients that leave, half bodies, bad texts, and floods."""
    rng, memory = random.Random(6), list[float]()
    faults: list[Callable[[], Awaitable[object]]] = [
        lambda: leave(client, work.question(rng)),
        lambda: leave(client, work.question(rng), 0.5),
        lambda: client.send(b'{"query": "q", "texts": ["a", "\\ud800"]}'),
        lambda: asyncio.gather(*(leave(client, heavy(20)) for _ in range(10))),
    ]

    async def send(record: Record, at: float) -> None:
        memory.append(started.resident())
        if rng.random() < 0.1:
            record.outcomes["faults"] += 1
            await rng.choice(faults)()
        else:
            await client.ask(work.question(rng, rng.choice((1, 20, 50))), record, at)

    record = await open_loop(client, send, rate, seconds)
    warm = len(memory) // 3
    return {
        "seconds": round(record.seconds),
        "outcomes": dict(record.outcomes),
        **milliseconds(record.latencies),
        "memory MB": round(max(memory[warm:])),
        "growth after the first third": round(max(memory[warm:]) / float(np.median(memory[: warm + 1])) - 1, 3),
    }


async def killed(work: Workload, model: str | None, seconds: float) -> Figures:
    """Kill the server with `kill -9` under load and restart it on the same port, with clients that retry."""
    rng, started = random.Random(7), [Server(model)]
    await started[0].until_ready()
    client = Client(started[0].port)

    async def send(record: Record, _at: float) -> None:
        await client.ask_until_answered(work.question(rng), record)

    async def kill() -> None:
        for _ in range(2):
            await asyncio.sleep(seconds / 3)
            started[0].stop()
            started[0] = await asyncio.to_thread(Server, model, client.port)

    killing = asyncio.ensure_future(kill())
    record = await open_loop(client, send, 4, seconds)
    await killing
    started[0].stop()
    return {"kills": 2, "requests": len(record.latencies), "outcomes": dict(record.outcomes)}


async def cold_start(work: Workload, model: str | None) -> Figures:
    """Measure the time from the start of the process to its first response, three times."""
    seconds, question = [], work.question(random.Random(8), 5)
    for _ in range(3):
        started = Server(model)
        await started.until_ready()  # a client that is refused before that waits for the seconds in Retry-After
        await Client(started.port).ask(question, Record())
        seconds.append(time.perf_counter() - started.began)
        started.stop()
    return {"seconds": sorted(round(value, 2) for value in seconds)}


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a checkpoint  [default: the embedded model]")
    parser.add_argument("--seconds", type=float, default=12, help="per measurement")
    parser.add_argument("--latency", type=float, default=24, help="seconds at each load of the open loop")
    parser.add_argument("--soak", type=float, default=60, help="seconds of mixed load with faults")
    for name in list(PEERS)[1:]:
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"interpreter of an environment with {name}")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    os.environ.pop("PLACKETT_API_KEY", None)

    work = make_workload(options.model)
    found = Found(options.output, model=options.model or "embedded")
    with server(options.model) as started:
        client = Client(started.port)
        steps: dict[str, Callable[[], Awaitable[Figures]]] = {
            "throughput": lambda: throughput(client, work, options.seconds),
            "latency": lambda: latency(client, work, options.latency),
            "short beside heavy": lambda: beside_heavy(client, work, options.seconds),
            "after clients that left": lambda: abandoned(client, work),
            "soak": lambda: soak(client, work, started, 0.8 * work.library_rate() / 24, options.soak),
        }
        asyncio.run(_run(steps, found))
    pythons = {name: python for name in PEERS if (python := getattr(options, name, None))}
    if pythons:
        found["same checkpoint"] = compare({"plackett": sys.executable, **pythons}, work, options.seconds / 2)
    found["killed and restarted"] = asyncio.run(killed(work, options.model, 2 * options.seconds))
    found["cold start"] = asyncio.run(cold_start(work, options.model))
    print(json.dumps(found.figures, indent=1))


class Found:
    """Figures that are written to a file whenever one is added, so a stopped run keeps its results."""

    def __init__(self, path: Path, **figures: object) -> None:
        self.figures: Figures = figures
        self._path = path

    def __setitem__(self, name: str, value: object) -> None:
        self.figures[name] = value
        write_result(self._path, self.figures)
        print(name, json.dumps(value), file=sys.stderr, flush=True)


async def _run(steps: dict[str, Callable[[], Awaitable[Figures]]], found: Found) -> None:
    """One event loop for all steps, because connections are kept."""
    for name, step in steps.items():
        found[name] = await step()


if __name__ == "__main__":
    main()
