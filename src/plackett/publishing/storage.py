"""Read and write `plackett.json`, the file with a checkpoint's facts.

Training writes the file; evaluation, export and calibration add to it. Its fields are those of `plackett.facts`.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from plackett._arguments import checked
from plackett._files import whole_file
from plackett.checkpoints.own_files import FACTS
from plackett.errors import CheckpointError
from plackett.facts import SCHEMA, EngineFacts, Evaluation, Facts

_FACTS = TypeAdapter(Facts)


@checked()
def read_facts(folder: Path) -> Facts:
    """Return the facts of a checkpoint. Raises CheckpointError if it has none, or if a newer Plackett wrote them."""
    path = folder / FACTS
    if not os.path.isfile(path):
        raise CheckpointError(f"{folder} has no {FACTS}, the facts of its card; to write one: plackett card {folder}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        _check_schema(path, values)
        return _FACTS.validate_python(values)
    except CheckpointError:  # an OSError too
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read; delete it and write another: {error}") from error


def _check_schema(path: Path, values: object) -> None:
    schema = values.get("schema") if isinstance(values, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise CheckpointError(f"{path} has schema {schema}, but this Plackett reads {SCHEMA}: install a newer Plackett")


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts beside the weights, atomically. Equal facts give equal bytes."""
    with whole_file(folder / FACTS) as stream:
        stream.write(dump_facts(facts))


def dump_facts(facts: Facts) -> str:
    """Return the content of `plackett.json`."""
    return _FACTS.dump_json(facts, indent=2).decode() + "\n"


def add_evaluations(facts: Facts, evaluations: Sequence[Evaluation]) -> Facts:
    """Return the facts with these evaluations; they replace older ones of the same collection and depth."""
    new = {(item.collection, item.depth): item for item in evaluations}
    old = {(item.collection, item.depth): item for item in facts.evaluations}
    return replace(facts, evaluations=tuple((old | new).values()))


def add_engine(facts: Facts, engine: EngineFacts) -> Facts:
    """Return the facts with this engine; it replaces an older one of the same file and precision."""
    engines = {(item.file, item.precision): item for item in (*facts.engines, engine)}
    return replace(facts, engines=tuple(engines.values()))
