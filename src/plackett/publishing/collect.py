"""Combine the facts of a checkpoint: its own, those of its training, and an example of its use."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from plackett.checkpoints.conversions import layout_of
from plackett.checkpoints.folder import find_folder, read_checkpoint
from plackett.checkpoints.hub import commit_of, is_hub_id
from plackett.checkpoints.own_files import CONFIG, FACTS
from plackett.checkpoints.weights import has_weights, weights_of
from plackett.cross_encoder import CrossEncoder
from plackett.errors import CheckpointError
from plackett.facts import Facts, Model, Training, Usage, shortened
from plackett.publishing.storage import read_facts

if TYPE_CHECKING:
    from plackett.training.recipe import Recipe

VERSIONS = ("plackett", "torch", "transformers", "tokenizers", "accelerate", "huggingface-hub")
USAGE_DOCUMENTS = 5
USAGE_CHARACTERS = 300


def trained(folder: Path, recipe: "Recipe", training: Training) -> Facts:
    """Return the facts of the checkpoint in `folder`, which was just trained with `recipe`."""
    known = described(folder)
    base, revision = _base(recipe.base)
    model = replace(
        known.model,
        name=Path(os.path.realpath(os.path.expanduser(recipe.output))).name,
        base=base,
        base_revision=revision,
        language=recipe.language,
        license=recipe.license,
    )
    return replace(known, model=model, training=training)


def check_local(folder: Path, command: str) -> None:
    """Raise CheckpointError, which says how to copy a model into a folder, for anything else than a folder."""
    if not folder.is_dir():
        raise CheckpointError(
            f"there is no folder {folder}; for the embedded model or one of the Hub, {copying(folder, command)}"
        )


def copying(folder: Path, command: str) -> str:
    """Return the commands that copy a model into a folder and run `command` on it."""
    code = f"from plackett import CrossEncoder; CrossEncoder('{folder}').save_pretrained('models/{folder.name}')"
    return f'save a copy: python -c "{code}", then plackett {command} models/{folder.name}'


def described(folder: Path) -> Facts:
    """Return the facts that a checkpoint's files contain, without its training."""
    layout = layout_of(folder)
    if layout is not None:
        raise CheckpointError(
            f"{folder} is a {layout}, and a card can only describe a plain classifier; write one first: "
            f"CrossEncoder({str(folder)!r}).save_pretrained(FOLDER)"
        )
    checkpoint = read_checkpoint(folder)
    if checkpoint.lists is not None:
        raise CheckpointError(
            f"{folder} reads lists of documents, and Plackett's card describes models that read pairs; keep the card "
            "of its authors"
        )
    return Facts(
        model=Model(
            name=folder.resolve().name,
            base="",
            architecture=json.loads((folder / CONFIG).read_text(encoding="utf-8"))["architectures"][0],
            parameters=weights_of(folder)[0],
            max_length=checkpoint.max_length,
            labels=checkpoint.labels,
            activation=checkpoint.activation,
            weights=has_weights(folder),
        ),
        versions={"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    )


def known_facts(folder: Path) -> Facts:
    """Return the facts in a checkpoint's `plackett.json`, or those in its other files without one."""
    return read_facts(folder) if (folder / FACTS).is_file() else described(folder)


def usage(encoder: CrossEncoder, query: str, documents: Sequence[str]) -> Usage:
    """Score a query with its first documents, all shortened for display, so the scores are those of the texts shown."""
    query = shortened(query, USAGE_CHARACTERS)
    shown = tuple(shortened(text, USAGE_CHARACTERS) for text in documents if text.strip())[:USAGE_DOCUMENTS]
    pairs = [(query, document) for document in shown]
    return Usage(query, shown, tuple(encoder.predict(pairs).tolist()), tuple(encoder.score(pairs)[:, 0].tolist()))


def _base(name: str) -> tuple[str, str]:
    """Return the Hub id and the commit of a base; a folder is identified by its name, not its path."""
    if Path(name).is_dir() or not is_hub_id(name):
        return Path(name).name, ""
    snapshot = find_folder(name, revision=None, local_files_only=True)
    return name, commit_of(snapshot)
