"""Write the tables of figures in README.md and docs/ from committed results.

    python -m documentation.figures

A table is between `<!-- figures: NAME -->` and `<!-- end -->`; NAME is a key of TABLES. A test compares them.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BENCHMARKS = tuple(f"benchmarks/{name}/README.md" for name in ("bulk", "families", "serving"))
PAGES = ("README.md", "docs/default-model.md", "docs/scale.md", *BENCHMARKS)
BLOCK = re.compile(r"(?<=<!-- figures: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)

RESULTS = ROOT / "default_model" / "results"
SPEED = ROOT / "benchmarks" / "speed" / "results"
SERVING = ROOT / "benchmarks" / "serving" / "results" / "serving.json"
BULK = ROOT / "benchmarks" / "bulk" / "results" / "bulk.json"
FAMILIES = ROOT / "benchmarks" / "families" / "results" / "families.json"
SCALE = ROOT / "benchmarks" / "scale" / "results" / "scale.json"
SHOWN, MEASURE = "TREC DL 2019", "nDCG@10"
PRECISIONS = ("fp32", "bf16", "int8")
LIBRARIES = {"sentence_transformers": "sentence-transformers", "flashrank": "FlashRank", "fastembed": "fastembed"}
# sentence-transformers runs its fp32 export in bf16 on the measured processor: OpenVINO's own default.
COMPUTED_IN = {"sentence_transformers:openvino:fp32": "bf16"}

# Names in the simulation's results -> names on the page.
LABELS = {
    "of the ideal": "efficiency",
    "MB/s of the file system": "file system, MB/s",
    "limits": "limit",
    "choice": "balancing",
    **{f"at {load}": f"load {load}" for load in (0.5, 0.7, 0.8, 0.9)},
    "file system, machines": "machines that the file system can feed",
    "driver, machines": "machines that the driver can feed",
    "copying the corpus, seconds": "seconds to copy the corpus",
    "autoscaling": "result",
    "replica-hours": "replica-hours per day",
    "of a fixed number": "share of the replica-hours of a fixed number of replicas",
    "p99 wait, s": "99th percentile of the wait, seconds",
    "longest wait, s": "longest wait, seconds",
    "assumed": "assumption",
    "cores": "cores per machine",
    "price": "dollars per core-hour",
    "failures": "failures per machine and hour",
    "spread": "relative spread of the time per part",
    "rows_of_a_part": "pairs per part",
    "bytes_of_a_pair": "bytes per pair",
    "network": "network, bytes per second",
    "file_system": "shared file system, bytes per second",
    "corpus": "documents in the corpus",
    "parameters": "parameters of the trained model",
}


def quality() -> str:
    """Every reranker measured on the same candidates of TREC DL 2019."""
    document = _read(RESULTS / "quality.json")
    (encoder, of_encoder), (_, of_default) = document["systems"].items()
    published, of_published = list(_read(RESULTS / "published.json")["systems"].items())[-1]
    first = _measure(of_encoder)["first_stage"]
    rows = [
        ("BM25, not reranked", f"{first:.3f}", ""),
        (encoder.replace(", bi-encoder", ", an embedding model"), *_gain(of_encoder)),
        (f"**Plackett's embedded model**, {_layers()} layers", *_gain(of_default)),
        (f"{published} in int8", *_gain(of_published)),
    ]
    return _table(("ranked by", MEASURE, "gain over BM25 (95% interval)"), rows)


def _layers() -> int:
    layers: int = _read(ROOT / "src" / "plackett" / "default_model" / "config.json")["num_hidden_layers"]
    return layers


def _gain(system: dict[str, Any]) -> tuple[str, str]:
    found = _measure(system)
    low, high = found["ci95"]
    return f"{found['reranked']:.3f}", f"{found['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _measure(system: dict[str, Any]) -> dict[str, Any]:
    measured: dict[str, Any] = system["collections"][SHOWN]["measures"][MEASURE]
    return measured


def collections() -> str:
    """The rerankers on every collection, by its main measure."""
    from default_model import page

    return page.models_table(*page.systems()) + "\n"


def speed() -> str:
    """Each library and engine relative to sentence-transformers' default, on short documents with six layers.

    The rows of the engine onnx come from a later run, which also measured the unchanged libraries again.
    """
    ways = {way["name"]: way for way in _ways("6-layers.json")}
    ways |= {way["name"]: way for way in _ways("sessions.json") if way["name"].startswith("plackett:onnx")}
    engines: dict[str, dict[str, Any]] = {}
    for name, way in ways.items():
        library, engine, precision = name.split(":")
        engines.setdefault(f"{library}:{engine}", {})[COMPUTED_IN.get(name, precision)] = way

    rows = []
    for name, by_precision in sorted(engines.items(), key=lambda item: (item[0].startswith("plackett"), item[0])):
        ratios = (f"{by_precision[key]['ratio']:.1f}" if key in by_precision else "" for key in PRECISIONS)
        slowest = max(way["cold start s"] for way in by_precision.values())
        memory = max(way["peak MB"] for way in by_precision.values())
        rows.append((_title(name, by_precision), *ratios, f"{slowest:.1f} s", f"{memory:,} MB"))
    return _table(("library, engine", *PRECISIONS, "first score after", "peak memory"), rows)


def serving() -> str:
    """The server under load: each figure with its target."""
    found = _read(SERVING)
    share = "share of the library's"
    short = found["short beside heavy"]
    rows = [
        *(
            (f"throughput with {name}, {share}", f"{figures[share]:.2f}", "0.90")
            for name, figures in found["throughput"].items()
            if "client" in name
        ),
        *(
            (
                f"p99 {name} of saturation, over the bound ({_requests(found['latency'][name])})",
                f"{found['latency'][name]['p99 over bound']:.2f}",
                "1.30",
            )
            for name in ("at 0.5", "at 0.8")
        ),
        ("short among heavy, p50", f"{short['beside']['p50 ms']} ms (alone {short['alone']['p50 ms']} ms)", ""),
        (
            f"short among heavy, p99 over its bound ({_requests(short['beside'])})",
            f"{short['p99 over (3 p50 alone + a batch)']:.2f}",
            "1.00",
        ),
        ("`/health` at saturation, p99", f"{short['health']['p99 ms']} ms", "20 ms"),
        ("after disconnected clients, over the usual time", f"{found['after clients that left']['ratio']:.2f}", "1.50"),
        (f"soak of {found['soak']['seconds']:,} s, responses", _outcomes(found["soak"]), "none wrong or lost"),
        ("soak, growth of memory", f"{found['soak']['growth after the first third']:.1%}", "10%"),
        ("killed and restarted, responses", _outcomes(found["killed and restarted"]), "none wrong"),
        ("cold start, slowest of three", f"{max(found['cold start']['seconds'])} s", "1.5 s"),
    ]
    return _table(("measurement", "figure", "target"), rows)


def _requests(part: dict[str, Any]) -> str:
    return f"{sum(part['outcomes'].values())} requests"


def _outcomes(part: dict[str, Any]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(part["outcomes"].items()))


def peers() -> str:
    """Servers on the same checkpoint."""
    found = _read(SERVING)["same checkpoint"]
    loads = [name for name in next(iter(found.values())) if "client" in name]
    rows = [
        (
            server,
            *(f"{figures[load]['pairs per second']}" for load in loads),
            f"{figures['short alone']['p50 ms']} ms",
            f"{figures['short beside heavy']['p50 ms']} ms",
            f"{figures['short beside heavy']['p99 ms']} ms",
        )
        for server, figures in found.items()
    ]
    rates = (f"pairs/s, {load}" for load in loads)
    return _table(("server", *rates, "short alone, p50", "short among heavy, p50", "p99"), rows)


def bulk() -> str:
    """Bulk jobs and the engine alone on as many threads."""
    found = _read(BULK)
    shares, resident = found["share of the engine alone"], found["resident of an actor, bytes"]
    rows = [
        (
            f"a job with {way}" if way in shares else f"the engine alone, {way}",
            f"{rate:.1f}",
            f"{shares[way]:.2f}" if way in shares else "",
            f"{resident[way] / 1e6:.0f} MB" if way in shares else "",
        )
        for way, rate in found["pairs per processor second"].items()
    ]
    return _table(("", "pairs per processor second", "share of the engine alone", "memory of an actor"), rows)


def bulk_rest() -> str:
    """The other figures of bulk jobs."""
    found = _read(BULK)
    seconds, large = found["seconds"], found["large file"]
    rows = [
        ("seconds of a job before and after its parts", f"{seconds['of a job']:.1f}"),
        ("milliseconds of a part beyond its scoring", f"{1000 * seconds['of a part']:.0f}"),
        ("texts of a corpus copied per second", f"{found['texts per second']:,}"),
        ("object store", f"{found['object store, bytes'] / 1e6:.0f} MB"),
        ("large file", f"{large['bytes'] / 1e6:.0f} MB"),
        ("memory of the actor that scores it, with the model", f"{large['resident, bytes'] / 1e6:.0f} MB"),
    ]
    return _table(("", "value"), rows)


def families() -> str:
    """Other model families beside sentence-transformers."""
    rows = []
    for item in _read(FAMILIES)["models"]:
        rates, ratios = item["pairs per second"], item["ratios of the rounds"]
        ours, theirs = rates["plackett"], rates["sentence-transformers"]
        ratio = f"{item['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append((item["model"], item["forward"], f"{ours:.2f}", f"{theirs:.2f}", ratio))
    head = ("model", "forward pass", "Plackett, pairs/s", "sentence-transformers, pairs/s", "ratio (rounds)")
    return _table(head, rows)


def scale(part: str) -> str:
    """A table of the simulation in benchmarks/scale: rows, or names and values."""
    found = _read(SCALE)[part]
    rows = found if isinstance(found, list) else [{part: LABELS[name], "value": value} for name, value in found.items()]
    shown = [[_number(value) for value in row.values()] for row in rows]
    return _table([LABELS.get(name, name) for name in rows[0]], shown)


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 1000 else f"{value:,}"


def _title(name: str, by_precision: dict[str, Any]) -> str:
    library, engine = name.split(":")
    if library == "plackett":
        return f"**Plackett**, {engine}"
    versions = {way["version"] for way in by_precision.values()}
    return f"{LIBRARIES[library]} {', '.join(sorted(versions))}, {engine}"


def _ways(name: str) -> list[dict[str, Any]]:
    [result] = [item for item in _read(SPEED / name)["results"] if item["workload"] == "short" and item["layers"] == 6]
    ways: list[dict[str, Any]] = result["ways"]
    return ways


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    sides = "|".join(":---" if number == 0 else "---:" for number, _ in enumerate(head))
    lines = [" | ".join(row) for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{sides}|", *(f"| {line} |" for line in lines), ""])


SIMULATED = ("bulk", "limits", "serving", "autoscaling", "training", "assumed")
TABLES: dict[str, Callable[[], str]] = {
    "quality": quality,
    "collections": collections,
    "speed": speed,
    "serving": serving,
    "peers": peers,
    "bulk": bulk,
    "bulk_rest": bulk_rest,
    "families": families,
    **{f"scale_{part}": partial(scale, part) for part in SIMULATED},
}


def filled(text: str) -> str:
    """Return `text` with its tables filled in from the committed results."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}{TABLES[found[1]]()}", text)


def main() -> None:
    """Write the tables of all pages."""
    for name in PAGES:
        path = ROOT / name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
