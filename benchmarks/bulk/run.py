"""Bulk scoring beside the engine alone, and its memory on a file ten times Ray's object store.

    make bulk          # about 10 minutes on 2 cores

Rates are pairs per second of processor time of the processes that score, which a busy machine changes little. They are
counted after an actor's first part; starting is measured separately. A job is compared with the engine alone on as many
threads as it has actors, because two busy cores share caches and memory. Memory is the largest resident set of
a process that scores, sampled every 0.1 s.
Results: benchmarks/bulk/results/bulk.json.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from benchmarks._common import counted, write_result
from plackett import CrossEncoder
from plackett.bulk import Bulk, bulk
from plackett.bulk.texts import write_texts
from plackett.workflows.demo.pydocs import DocumentedObject, read_objects

RESULT = Path(__file__).parent / "results" / "bulk.json"
STORE = 80_000_000  # bytes of the object store; Ray takes no fewer than 75 MB
ROWS = 100  # of a part
SMALL = 500  # parts of one row each
TEXTS = 200_000  # rows of a corpus
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watch:
    """What the actors of a job took: processor seconds after `parts` parts, and the largest resident set."""

    output: Path
    parts: int
    first: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    resident: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Sample until the job has ended."""
        while not self.ended.wait(0.1):
            counts = len(list(self.output.glob("part-*"))) >= self.parts
            for pid, seconds, resident in _actors():
                self.resident = max(self.resident, resident)
                if counts:
                    self.first.setdefault(pid, seconds)
                    self.last[pid] = seconds

    def seconds(self) -> float:
        """Processor seconds of all actors."""
        return sum(self.last.values()) - sum(self.first.values())


def _actors() -> Iterator[tuple[int, float, int]]:
    """Yield the process id, processor seconds and resident bytes of each actor."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" not in (path / "cmdline").read_bytes():
                continue
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            pages = int((path / "statm").read_text().split()[1])
        except OSError:
            continue
        yield int(path.name), (int(fields[11]) + int(fields[12])) / TICKS, pages * PAGE


def pairs(objects: list[DocumentedObject], number: int) -> pa.Table:
    """Make a table of queries of Python's documentation, each with several passages of it."""
    rows = [(objects[n % 97], objects[n % len(objects)]) for n in range(number)]
    return pa.table({"query": [query.query for query, _ in rows], "text": [item.document for _, item in rows]})


def alone(table: pa.Table, threads: int) -> float:
    """Return pairs per second of processor time in this process."""
    model = CrossEncoder(threads=threads)
    texts = list(zip(table["query"].to_pylist(), table["text"].to_pylist(), strict=True))
    model.predict(texts[:ROWS])
    start = time.process_time()
    model.predict(texts)
    return len(texts) / (time.process_time() - start)


def with_ray(folder: Path, source: Path, actors: int, rows: int = ROWS, skipped: int = 0) -> tuple[float, Watch]:
    """Run a job; return pairs per second of processor time after its first `skipped` parts, and what was watched."""
    output = folder / f"out-{actors}"
    watch = Watch(output, skipped)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    done = bulk(Bulk(source, output, rows=rows, concurrency=actors))
    watch.ended.set()
    thread.join()
    shutil.rmtree(output)
    seconds = watch.seconds()
    return (done.pairs - skipped * rows) / seconds if seconds else 0.0, watch


def overhead(folder: Path, table: pa.Table) -> dict[str, float]:
    """Return seconds of a job with one part, and of each further part, without what scoring it takes."""
    one, many = folder / "one.parquet", folder / "many.parquet"
    pq.write_table(table.slice(0, 1), one)
    pq.write_table(pa.concat_tables([table.slice(0, 1)] * SMALL), many)
    seconds = []
    for source in (one, many):
        start = time.perf_counter()
        with_ray(folder, source, 1, rows=1)
        seconds.append(time.perf_counter() - start)
    return {"of a job": round(seconds[0], 2), "of a part": round((seconds[1] - seconds[0]) / (SMALL - 1), 4)}


def texts_per_second(folder: Path, objects: list[DocumentedObject]) -> float:
    """Return how many texts of a corpus are copied into the file that joins them by id."""
    source = folder / "corpus.parquet"
    texts = [objects[n % len(objects)].document for n in range(TEXTS)]
    pq.write_table(pa.table({"id": [str(n) for n in range(TEXTS)], "text": texts}), source)
    start = time.perf_counter()
    write_texts(folder / "texts.sqlite", [("corpus", source, {})])
    return TEXTS / (time.perf_counter() - start)


def large_file(folder: Path, table: pa.Table) -> dict[str, int]:
    """Score a file ten times the object store; return its size, its pairs and the memory of the actor."""
    source = folder / "large.parquet"
    text = (" ".join(table["text"].to_pylist())[:200_000] + " ") * 10  # 2 MB, of which the model reads the start
    number = 10 * STORE // len(text) + 1
    rows = {"query": ["how to sort a list of words"] * number, "text": [f"{n} {text}" for n in range(number)]}
    pq.write_table(pa.table(rows), source, compression="none", use_dictionary=False, row_group_size=10)
    _, watch = with_ray(folder, source, 1, rows=20_000)
    return {"bytes": source.stat().st_size, "pairs": number, "resident, bytes": watch.resident}


def main() -> None:
    """Measure everything, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    given = parser.parse_args()
    objects = read_objects()
    table = pairs(objects, given.pairs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "pairs.parquet"
        pq.write_table(table, source)
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            object_store_memory=STORE,
            log_to_driver=False,
            logging_level="ERROR",
        )
        of_engine, of_job, resident = {}, {}, {}
        for actors in (1, 2):
            of_engine[counted(actors, "thread")] = alone(table, actors)
            way = counted(actors, "actor")
            of_job[way], watch = with_ray(folder, source, actors, skipped=actors)
            resident[way] = watch.resident
        shares = (job / engine for job, engine in zip(of_job.values(), of_engine.values(), strict=True))
        result = {
            "pairs": given.pairs,
            "pairs per processor second": {way: round(rate, 1) for way, rate in (of_engine | of_job).items()},
            "share of the engine alone": dict(zip(of_job, (round(share, 3) for share in shares), strict=True)),
            "resident of an actor, bytes": resident,
            "seconds": overhead(folder, table),
            "texts per second": round(texts_per_second(folder, objects)),
            "object store, bytes": STORE,
            "large file": large_file(folder, table),
        }
        ray.shutdown()
    print(write_result(RESULT, result))


if __name__ == "__main__":
    main()
