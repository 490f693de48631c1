"""Simulate a billion pairs, many users, and training on many machines, from measured rates.

    python -m benchmarks.scale.run [--cores 16] [--price 0.04]          # about a minute

The rates are the results of `benchmarks.bulk`, `benchmarks.serving` and `benchmarks.train_speed`. Run these benchmarks
first, on the machines that you will use. All other inputs are assumptions, which the result lists.
Results: benchmarks/scale/results/scale.json, shown by docs/scale.md (`python -m documentation.figures`).
"""

import argparse
import heapq
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._common import write_result

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAIRS = 1_000_000_000
MACHINES = (1, 4, 16, 64, 256)
LOADS = (0.5, 0.7, 0.8, 0.9)
REPLICAS = (1, 4, 16)
PROCESSES = (1, 2, 4, 8, 16)
REQUESTS = 400_000  # of a simulated load


@dataclass(frozen=True)
class Assumptions:
    """Inputs that were not measured.

    cores: per machine. price: dollars per core and hour. failures: machines lost per machine and hour. spread: standard
    deviation of a part's time, divided by its mean. bytes_of_a_pair: input and output. network, file_system:
    bytes per second of a machine and of the shared file system. parameters: of the trained model.
    """

    cores: int = 16
    price: float = 0.04
    failures: float = 0.001
    spread: float = 0.1
    rows_of_a_part: int = 20_000
    bytes_of_a_pair: int = 600
    network: float = 1.25e9
    file_system: float = 1e9
    corpus: int = 10_000_000
    parameters: int = 33_000_000


@dataclass(frozen=True)
class Rates:
    """Measured rates: pairs per second of one core in bulk and of one server, and the overheads of both."""

    bulk: float
    start: float
    of_a_part: float
    texts: float
    serving: float
    lists: float


def measured() -> Rates:
    """Read the committed results."""
    bulk, serving, training = (_result(name) for name in ("bulk/bulk", "serving/serving", "train_speed/train_speed"))
    return Rates(
        bulk=bulk["pairs per processor second"]["2 actors"],
        start=bulk["seconds"]["of a job"],
        of_a_part=bulk["seconds"]["of a part"],
        texts=bulk["texts per second"],
        serving=serving["throughput"]["8 clients"]["pairs per second"],
        lists=max(run["lists per second"]["plackett"] for run in training["runs"]),
    )


def _result(name: str) -> dict[str, Any]:
    folder, file = name.split("/")
    result: dict[str, Any] = json.loads((ROOT / folder / "results" / f"{file}.json").read_text(encoding="utf-8"))
    return result


def bulk_job(machines: int, rates: Rates, given: Assumptions, rng: np.random.Generator) -> dict[str, float]:
    """Simulate a bulk job: each free machine takes the next part, and the part of a lost machine is repeated.

    The driver hands out parts one by one, which finally limits the number of machines.
    """
    parts = math.ceil(PAIRS / given.rows_of_a_part)
    mean = given.rows_of_a_part / (rates.bulk * given.cores)
    seconds = mean * np.exp(rng.normal(0, given.spread, parts))
    lost = rng.random(parts) < given.failures * mean / 3600
    free = [rates.start] * machines
    driver = rates.start
    for part, again in zip(seconds, lost, strict=True):
        driver = max(driver, heapq.heappop(free)) + rates.of_a_part
        heapq.heappush(free, driver + part * (1.5 if again else 1) + (rates.start if again else 0))
    hours = max(free) / 3600
    needed = PAIRS / rates.bulk / 3600 / given.cores / machines
    return {
        "machines": machines,
        "hours": round(hours, 2),
        "core-hours": round(hours * machines * given.cores),
        "dollars": round(hours * machines * given.cores * given.price),
        "of the ideal": round(needed / hours, 3),
        "repeated parts": int(lost.sum()),
        "MB/s of the file system": round(PAIRS * given.bytes_of_a_pair / hours / 3600 / 1e6, 1),
    }


def limits(rates: Rates, given: Assumptions) -> dict[str, float]:
    """Return how many machines each shared resource can feed, and how long it takes to copy the corpus."""
    per_machine = rates.bulk * given.cores
    return {
        "file system, machines": round(given.file_system / (per_machine * given.bytes_of_a_pair)),
        "driver, machines": round(given.rows_of_a_part / per_machine / rates.of_a_part),
        "copying the corpus, seconds": round(given.corpus / rates.texts),
    }


def replicas(number: int, load: float, choose: str, rng: np.random.Generator) -> float:
    """Return the 99th percentile of the response time of replicas, as a multiple of one request's time.

    Requests are equal and arrive at random. choose: "random" for a load balancer without information, "least" for the
    replica with the fewest open requests.
    """
    arrivals = np.cumsum(rng.exponential(1 / (load * number), REQUESTS))
    choices = rng.integers(number, size=REQUESTS)
    ends = [0.0] * number
    times = np.empty(REQUESTS)
    for index, (at, choice) in enumerate(zip(arrivals, choices, strict=True)):
        replica = int(choice) if choose == "random" else min(range(number), key=ends.__getitem__)
        ends[replica] = max(ends[replica], at) + 1
        times[index] = ends[replica] - at
    return float(np.percentile(times[REQUESTS // 10 :], 99))


@dataclass(frozen=True)
class Scaling:
    """Autoscaling as in Kubernetes: a desired amount of queued work per replica, checked every `period` seconds.

    A new replica is ready after `start` seconds. Replicas are removed only after `hold` seconds of lower need.
    """

    target: float = 0.5
    period: float = 15
    start: float = 20
    hold: float = 300
    most: int = 40


def autoscaled(peak: float, scaling: Scaling) -> dict[str, float]:
    """Simulate a day whose load rises from a tenth of `peak` (in replicas) to `peak`, and doubles once for a minute.

    Work is a fluid: the wait at any moment is the queued work divided by the rate of service.
    """
    waits, used = [], 0.0
    for queued, ready, step in _day(peak, scaling):
        waits.append(queued / ready)
        used += ready * step / 3600
    return {
        "replica-hours": round(used, 1),
        "of a fixed number": round(used / (24 * math.ceil(peak / 0.8)), 3),
        "p99 wait, s": round(float(np.percentile(waits, 99)), 2),
        "longest wait, s": round(max(waits), 1),
    }


def _day(peak: float, scaling: Scaling, step: float = 1.0) -> Iterator[tuple[float, int, float]]:
    """Yield, for each second, the queued work in seconds and the number of ready replicas."""
    queued, ready, starting, wanted_since = 0.0, 1, list[float](), 0.0
    for second in np.arange(0, 24 * 3600, step):
        arriving = _load(second, peak)
        ready += sum(at <= second for at in starting)
        starting = [at for at in starting if at > second]
        queued = max(0.0, queued + (arriving - ready) * step)
        if second % scaling.period == 0:
            need = max(arriving / 0.8, queued / scaling.target / scaling.period)
            wanted = min(scaling.most, max(1, math.ceil(need)))
            running = ready + len(starting)
            starting += [second + scaling.start] * (wanted - running)
            if wanted >= running:
                wanted_since = second
            elif second - wanted_since > scaling.hold:
                ready, wanted_since = max(1, ready - 1), second
        yield queued, ready, step


def _load(second: float, peak: float) -> float:
    """Return the load at a second of the day, in replicas: a slow wave, doubled for a minute at noon."""
    wave = peak * (0.55 - 0.45 * math.cos(2 * math.pi * second / 86_400))
    return wave * (2 if 43_200 <= second < 43_260 else 1)


def training(processes: int, rates: Rates, given: Assumptions, lists_of_a_step: int = 16) -> dict[str, float]:
    """Return the speed of `torchrun` with one process per machine; gradients go around the ring once."""
    compute = lists_of_a_step / rates.lists
    gradients = 4 * given.parameters
    exchange = 2 * (processes - 1) / processes * gradients / given.network
    return {
        "processes": processes,
        "lists per second": round(processes * lists_of_a_step / (compute + exchange), 1),
        "of the ideal": round(compute / (compute + exchange), 3),
    }


def simulate(rates: Rates, given: Assumptions) -> dict[str, Any]:
    """Return all tables."""
    rng = np.random.default_rng(0)
    ways: tuple[str, ...] = ("random", "least")
    return {
        "measured": asdict(rates),
        "assumed": asdict(given),
        "bulk": [bulk_job(machines, rates, given, rng) for machines in MACHINES],
        "limits": limits(rates, given),
        "serving": [
            {
                "replicas": number,
                "choice": way,
                **{f"at {load}": round(replicas(number, load, way, rng), 1) for load in LOADS},
            }
            for number in REPLICAS
            for way in ways[number == 1 :]
        ],
        "autoscaling": autoscaled(20, Scaling()),
        "training": [training(processes, rates, given) for processes in PROCESSES],
    }


def main() -> None:
    """Simulate, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=Assumptions.cores, help="of a machine")
    parser.add_argument("--price", type=float, default=Assumptions.price, help="dollars per core and hour")
    given = parser.parse_args()
    result = simulate(measured(), Assumptions(cores=given.cores, price=given.price))
    print(write_result(RESULTS / "scale.json", result))


if __name__ == "__main__":
    main()
