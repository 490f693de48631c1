"""The driver of a bulk job: plans its parts, lets Ray Data score them, and finishes the output.

Each part is written to a temporary file and renamed. `_manifest.json` describes the job, so the same command continues
after a crash and repeats only the parts in progress.
"""

import contextlib
import json
import logging
import os
import pickle
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from plackett._arguments import COUNT, NOT_NEGATIVE, check_fields
from plackett._extras import extra
from plackett._files import folder_of_files, growing_file, whole_file
from plackett._progress import progress_bar
from plackett._resumable import lock
from plackett.bulk.parts import RUNS, Names, Part, columns_of, copied_parts, fitting, is_run, names_in, parquet_parts
from plackett.bulk.scoring import SCORE, Counts, Scorer, Work, count
from plackett.bulk.texts import Texts, columns_of_texts, write_texts
from plackett.cross_encoder import CrossEncoder
from plackett.data.rows import Columns, check_columns
from plackett.errors import DataError, PlackettError, RemoteError, SettingError

with extra("bulk"):
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Plackett sends no telemetry
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

MANIFEST = "_manifest.json"  # Parquet readers skip names with an underscore
COUNTS = "_counts.jsonl"  # a line for each part that the driver knows to be finished
TEXTS = "texts.sqlite"
WORK = "_work"  # copies of the input and the texts; removed at the end
PLAN = f"{WORK}/plan.json"
STARTS = 3  # attempts to start a local Ray
ROWS = 20_000
"""Rows per part: at most a minute of work to lose in a crash."""


@dataclass(frozen=True)
class Bulk:
    """A bulk job.

    input: a Parquet file or a folder of them; a file of JSON lines, CSV or TSV; or a TREC run. output: a folder for
    Parquet parts, or another run if the input is one. queries, corpus: files with the texts, if the input contains ids.
    depth: candidates per query of a run, None for all. concurrency: number of actors, None for one per machine or GPU.
    num_gpus: GPUs per actor. address: address of a Ray cluster, None for this machine.
    """

    input: Path
    output: Path
    model: str | os.PathLike[str] | None = None
    queries: Path | None = None
    corpus: Path | None = None
    columns: Columns = field(default_factory=dict)
    depth: Annotated[int, COUNT] | None = None
    rows: Annotated[int, COUNT] = ROWS
    concurrency: Annotated[int, COUNT] | None = None
    num_gpus: Annotated[float, NOT_NEGATIVE] = 0
    address: str | None = None
    activation: str | None = None
    long_documents: str = "longest_first"
    instruction: str | None = None
    positive_label: str | None = None
    trust_remote_code: bool = False
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raise SettingError for a value of another type, and for a number that is out of bounds."""
        check_fields(self)
        check_columns(self.columns)
        if self.resume and self.overwrite:
            raise SettingError("resume keeps an output and overwrite replaces it; use one of them")

    @property
    def model_options(self) -> dict[str, Any]:
        """CrossEncoder's arguments other than the model."""
        names = ("activation", "long_documents", "instruction", "positive_label", "trust_remote_code")
        return {name: getattr(self, name) for name in names}

    @property
    def as_run(self) -> bool:
        """Whether the output is a run."""
        return self.output.suffix in RUNS

    @property
    def folder(self) -> Path:
        """Folder of the parts: the output itself, or a folder beside the run."""
        return self.output.with_name(f"{self.output.name}.parts") if self.as_run else self.output


@dataclass(frozen=True)
class Done:
    """Counts of the pairs that a job scored, of pairs with a blank text, and of pairs scored by earlier calls."""

    pairs: int
    blank: int
    done_before: int


def bulk(job: Bulk, *, show_progress: bool = False) -> Done:
    """Score the input of a job into its output; continue a job that was killed.

    Raises DataError for missing columns, values that are not text, an empty query, an id without a text, and an
    existing output; SettingError for an output that another job started; RemoteError for an unreachable cluster.
    """
    inputs, names = _inputs(job)
    job = replace(job, output=_output(job))
    facts = _facts(job, inputs)
    _check_output(job, facts)
    with _alone(job.folder):
        return _run(job, inputs, names, facts, show_progress)


def _run(job: Bulk, inputs: Sequence[Path], names: Names, facts: Mapping[str, str], show_progress: bool) -> Done:
    """Do the rest of a job whose output is locked by this process."""
    if _begin(job, facts):
        return Done(**_manifest(job.folder)["done"])
    parts = _plan(job, inputs, names)
    work = _work(job, names)
    before = _scored_before(job, work, parts)
    counts = before | _score_rest(job, work, parts, before, show_progress)
    done = Done(
        pairs=sum(item.pairs for item in counts.values()),
        blank=sum(item.blank for item in counts.values()),
        done_before=sum(item.pairs for item in before.values()),
    )
    _finish(job, facts, [work.file(part) for part in parts], done)
    return done


def _score_rest(
    job: Bulk, work: Work, parts: Sequence[Part], before: Mapping[int, Counts], show_progress: bool
) -> dict[int, Counts]:
    """Score the unfinished parts, and record each."""
    rest = [part for part in parts if part.number not in before]
    total = sum(part.stop - part.start for part in parts)
    initial = sum(item.pairs for item in before.values())
    counts: dict[int, Counts] = {}
    with (
        (job.folder / COUNTS).open("a", encoding="utf-8") as journal,
        progress_bar(total=total, initial=initial, unit="pair", show=show_progress) as progress,
        _noting_what_is_kept(job, before, counts),
    ):
        for number, item in _scored(job, work, rest) if rest else ():
            counts[number] = item
            print(json.dumps([number, *item]), file=journal, flush=True)
            progress.update(item.pairs)
    return counts


@contextlib.contextmanager
def _noting_what_is_kept(job: Bulk, *counts: Mapping[int, Counts]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        pairs = sum(item.pairs for part in counts for item in part.values())
        error.add_note(
            f"{pairs:,} pairs are done and kept in {job.folder}; run the same command again to continue"
            if pairs
            else "no part was finished; the same command starts over"
        )
        raise


def _inputs(job: Bulk) -> tuple[list[Path], Names]:
    """Return the input files and the columns to read. DataError for an unusable input."""
    source = job.input
    paths = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not paths:
        raise DataError(f"{source} contains no Parquet files; name a folder that does, or a file")
    for path in (*paths, job.queries, job.corpus):
        if path is not None and not path.is_file():
            raise DataError(f"{path} does not exist, or is not a file")
    found = [names_in(_columns(job, path), job.columns, path) for path in paths]
    other = next((path for path, names in zip(paths, found, strict=True) if names != found[0]), None)
    if other is not None:
        raise DataError(f"{other} has different columns from {paths[0]}; give all files the same columns")
    _check_options(job, found[0], is_run=is_run(paths[0]))
    return paths, found[0]


def _columns(job: Bulk, path: Path) -> list[str]:
    found = columns_of(path)
    if SCORE in found and not job.as_run:
        raise DataError(f"{path} has a column {SCORE}, which the output would have twice; rename or drop it")
    return found


def _check_options(job: Bulk, names: Names, *, is_run: bool) -> None:
    """Raise for options that do not fit the input."""
    if names.are_ids and (job.queries is None or job.corpus is None):
        raise DataError(f"{job.input} contains ids; name the files with their texts with --queries and --corpus")
    if job.as_run != is_run:
        raise SettingError(
            f"{job.output}: the output must be a run (.trec) if the input is a run, otherwise a folder of Parquet files"
        )
    if job.depth is not None and not is_run:
        raise SettingError("--depth applies only to runs; other inputs are scored row by row")


def _output(job: Bulk) -> Path:
    """Return the path of the output, which must be writable, and may not be, contain or be inside an input."""
    named = [job.input, job.queries, job.corpus, job.model]
    inputs = [name for name in named if name is not None]
    try:
        str(job.output).encode()
    except UnicodeEncodeError as error:  # Arrow takes no other names
        raise DataError(f"{job.output} is not a name in UTF-8; choose another output") from error
    output = growing_file(job.output, inputs=inputs) if job.as_run else folder_of_files(job.output, inputs=inputs)
    folder_of_files(replace(job, output=output).folder, inputs=inputs)
    return output


def _facts(job: Bulk, inputs: Sequence[Path]) -> dict[str, str]:
    """Return everything that the output depends on."""
    model = CrossEncoder(job.model, **job.model_options)
    if not model.model.ranks:
        raise SettingError(f"{model.model.name} has {model.model.labels} labels; bulk needs one score per pair")
    files = [*inputs, *(path for path in (job.queries, job.corpus) if path is not None)]
    stats = [path.stat() for path in files]
    return {
        "files": ", ".join(
            f"{path.name} {stat.st_size} {stat.st_mtime_ns}" for path, stat in zip(files, stats, strict=True)
        ),
        "model": model.fingerprint(),
        "activation": model.model.activation,
        "columns": json.dumps(job.columns, sort_keys=True),
        "depth": str(job.depth),
        "rows of a part": str(job.rows),
    }


def _check_output(job: Bulk, facts: Mapping[str, str]) -> None:
    """Raise for an output that is complete, belongs to another job, or is not a bulk output."""
    folder = job.folder
    if job.as_run and job.output.exists() and not job.overwrite:
        raise DataError(f"{job.output} exists; name another output, or use --overwrite")
    begun = _manifest(folder)
    if not begun and _is_in_use(folder):
        raise DataError(f"{folder} is not empty and is not an output of plackett bulk; name another output")
    if begun and not job.overwrite and _has_parts(folder):
        _check_begun(job, begun, facts)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Create the folder of the parts, and lock it. SettingError if another process has locked it.

    After an error, the folder is kept only if a part or the plan of a valid job is done.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, folder)
        try:
            yield
        except BaseException as error:
            planned = (folder / PLAN).is_file() and not isinstance(error, DataError)
            if _manifest(folder) and not planned and not _has_parts(folder):
                _remove_parts(folder)
            if made:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()
            raise
    finally:
        os.close(descriptor)


def _is_in_use(folder: Path) -> bool:
    """Whether a path exists and is not an empty folder."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _has_parts(folder: Path) -> bool:
    return any(folder.glob("part-*"))


def _begin(job: Bulk, facts: Mapping[str, str]) -> bool:
    """Create the folder of parts, or resume the folder of a killed job; return True if every part is done.

    The output is checked again, as another process may have changed it. Only files of bulk jobs are ever removed.
    """
    _check_output(job, facts)
    folder = job.folder
    begun = _manifest(folder)
    if begun and not job.overwrite and (_has_parts(folder) or begun["facts"] == facts):
        return bool(begun["complete"])
    _remove_parts(folder)
    (folder / WORK).mkdir(parents=True, exist_ok=True)
    _write_manifest(folder, {"facts": dict(facts), "complete": False})
    return False


def _remove_parts(folder: Path) -> None:
    """Remove the files of an earlier job, the manifest last."""
    shutil.rmtree(folder / WORK, ignore_errors=True)
    for path in (*folder.glob("part-*"), *folder.glob(".part-*"), folder / COUNTS, folder / MANIFEST):
        path.unlink(missing_ok=True)


def _check_begun(job: Bulk, begun: Mapping[str, Any], facts: Mapping[str, str]) -> None:
    """Raise for a job that is complete or has other settings."""
    changed = [name for name, value in facts.items() if begun["facts"].get(name) != value]
    if changed:
        raise SettingError(
            f"{job.folder} was started with other settings ({', '.join(changed)}); repeat that command, name another "
            "output, or use --overwrite"
        )
    if begun["complete"] and not job.resume:
        raise DataError(f"{job.folder} is complete; name another output, or use --overwrite")


def _manifest(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(content, dict) and {"facts", "complete"} <= content.keys():
            return content
    return {}


def _write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    with whole_file(folder / MANIFEST) as stream:
        json.dump(content, stream, indent=1)


def _plan(job: Bulk, inputs: Sequence[Path], names: Names) -> list[Part]:
    """Return the parts; other formats and the texts are copied once."""
    folder = job.folder / WORK
    plan = job.folder / PLAN
    if plan.is_file():
        return [Part(**item) for item in json.loads(plan.read_text(encoding="utf-8"))]
    folder.mkdir(exist_ok=True)
    rows = job.rows
    if names.are_ids and job.queries is not None and job.corpus is not None:
        of_queries = columns_of_texts(job.columns, queries=True)
        of_corpus = columns_of_texts(job.columns, queries=False)
        write_texts(folder / TEXTS, [("queries", job.queries, of_queries), ("corpus", job.corpus, of_corpus)])
        rows = fitting(job.rows, Texts(folder / TEXTS).average("corpus"))
    if inputs[0].suffix == ".parquet":
        parts = list(parquet_parts(inputs, names, rows))
    else:
        parts = list(copied_parts(inputs[0], names, rows, folder, job.depth))
    if not parts:
        raise DataError(f"{job.input} contains no rows")
    with whole_file(plan) as stream:
        json.dump([asdict(part) for part in parts], stream)
    return parts


def _work(job: Bulk, names: Names) -> Work:
    model = None if job.model is None else str(job.model)
    if model is not None and Path(model).exists():
        model = str(Path(model).resolve())
    options = job.model_options
    texts = (job.folder / WORK / TEXTS).resolve()
    return Work(model, options, names, str(job.folder.resolve()), str(texts) if names.are_ids else None, job.as_run)


def _scored_before(job: Bulk, work: Work, parts: Sequence[Part]) -> dict[int, Counts]:
    """Return the counts of the finished parts; an actor's latest may be missing in the journal."""
    noted = _counts(job)
    there = [part for part in parts if work.file(part).is_file()]
    return {part.number: noted.get(part.number) or count(part, work) for part in there}


def _counts(job: Bulk) -> dict[int, Counts]:
    """Read the counts of parts finished by earlier calls, ignoring a line truncated by a crash."""
    counts = {}
    with contextlib.suppress(OSError):
        for line in (job.folder / COUNTS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                number, pairs, blank = json.loads(line)
                counts[number] = Counts(pairs, blank)
    return counts


def _scored(job: Bulk, work: Work, parts: Sequence[Part]) -> Iterator[tuple[int, Counts]]:
    """Score parts on Ray Data; each actor loads the model once and uses its share of the cores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray warns about its own settings
        yield from _scored_by_ray(job, work, parts)


def _scored_by_ray(job: Bulk, work: Work, parts: Sequence[Part]) -> Iterator[tuple[int, Counts]]:
    with _ray(job.address):
        actors = min(job.concurrency or _machines(job.num_gpus), len(parts))
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)) // actors)
        engine: dict[str, Any] = {"device": "cuda"} if job.num_gpus else {"threads": cores}
        rows = ray.data.from_items([asdict(part) for part in parts], override_num_blocks=len(parts))
        scored = rows.map(
            _Actor,
            fn_constructor_args=(replace(work, options={**work.options, **engine}),),
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1 if job.num_gpus else cores,
            num_gpus=job.num_gpus or None,
        )
        for row in scored.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])  # pickled by our own actors
            yield row["number"], Counts(row["pairs"], row["blank"])


def _machines(num_gpus: float) -> int:
    """Return the number of actors that fill the cluster: one per machine, or per share of a GPU."""
    if num_gpus:
        return max(1, int(ray.cluster_resources().get("GPU", 0) / num_gpus))
    return max(1, len([node for node in ray.nodes() if node["Alive"]]))


def _check_reachable(address: str | None) -> None:
    """Raise RemoteError if nothing listens at HOST:PORT; Ray itself would retry for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise RemoteError(
            f"Ray cannot be reached at {address}: {error}; correct --address, or leave it out to use this machine"
        ) from error


def _start(address: str | None) -> None:
    """Start or join a cluster; retry if a local one exceeds Ray's 30 seconds on a busy machine."""
    local = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address is None else {}
    for left in reversed(range(STARTS if address is None else 1)):
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
            return
        except Exception as error:  # Ray raises many kinds, including bare Exception
            ray.shutdown()
            if not left:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                where = address or "this machine"
                raise RemoteError(f"Ray cannot be started or reached at {where}: {reason}") from error


@contextlib.contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one on the loopback address; leave the caller's connection open."""
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    _start(address)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _finish(job: Bulk, facts: Mapping[str, str], files: Sequence[Path], done: Done) -> None:
    """Mark the output as complete, or join the parts of a run, and remove temporary files."""
    if job.as_run:
        with whole_file(job.output) as stream:
            for path in files:
                stream.write(path.read_text(encoding="utf-8"))
        _remove_parts(job.folder)
        job.folder.rmdir()
        return
    names = [path.name for path in files]
    _write_manifest(job.folder, {"facts": dict(facts), "complete": True, "parts": names, "done": asdict(done)})
    shutil.rmtree(job.folder / WORK, ignore_errors=True)
    (job.folder / COUNTS).unlink(missing_ok=True)


class _Actor:
    """A Scorer in a Ray process."""

    def __init__(self, work: Work) -> None:
        self.scorer = Scorer(work)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = Part(**row)
        try:
            return {"number": part.number, **self.scorer.score(part)._asdict(), "error": b""}
        except (PlackettError, OSError) as error:  # returned as a value, because Ray would keep only the text
            return {"number": part.number, "pairs": 0, "blank": 0, "error": pickle.dumps(error)}
