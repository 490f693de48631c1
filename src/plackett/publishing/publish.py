"""Publishing a checkpoint to the Hub: it is checked, then sent in one commit."""

import fnmatch
import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, constants

from plackett._arguments import checked
from plackett.checkpoints.calibrations import parameters_of, read_calibration
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.hub import check_inside, hub_error, is_hub_id
from plackett.checkpoints.own_files import CALIBRATION_PLOT, CARD, FACTS, RECIPE, TRAINING_PLOT
from plackett.checkpoints.readers import misread
from plackett.cross_encoder import CrossEncoder
from plackett.errors import CheckpointError, HubError, SettingError
from plackett.evaluation.probes import DOCUMENTS, QUERIES
from plackett.facts import Facts
from plackett.models.tokens import misread_tokens
from plackett.publishing.card import render
from plackett.publishing.collect import check_local
from plackett.publishing.storage import dump_facts, read_facts
from plackett.training.recipe import without_paths

# Files that a folder may contain besides its checkpoint: hidden files, intermediate checkpoints, pickles.
LEFT_OUT = (".*", "checkpoint-*", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "pytorch_model*.bin", "*.lock")
TOLERANCE = 1e-3  # for a score: engines, libraries and machines differ by less, other weights by more


@dataclass(frozen=True)
class SentFile:
    """A file of the commit: its path in the repository and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Published:
    """The files that were sent, and the address of the commit or pull request, which is empty for a dry run."""

    files: tuple[SentFile, ...]
    url: str = ""


@checked()
def publish(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
) -> Published:
    """Send a checkpoint to `repository` (org/name) on the Hub, in one commit or pull request.

    A missing repository is created, `private` or not, and so is a missing branch `revision`. Files that the Hub already
    has are not sent again, so the same call continues after an interruption. The published card and facts name the
    repository instead of the folder, and the published recipe names files without their paths. `dry_run` checks
    everything and makes no request.

    Raises CheckpointError for a folder that does not load, that other libraries would read differently, or whose card
    does not match its facts; HubError if the Hub refuses or cannot be reached.
    """
    if not is_hub_id(repository):
        raise SettingError(f"{repository!r} is not a Hub id such as org/name")
    check_local(folder, "publish")
    facts = check(folder)
    operations = _operations(folder, replace(facts, model=replace(facts.model, repository=repository)))
    files = tuple(SentFile(item.path_in_repo, item.upload_info.size) for item in operations)
    if dry_run:
        return Published(files)
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, so the Hub was not contacted: unset it to publish")
    api = HfApi(library_name="plackett", library_version=version("plackett"))
    try:
        api.create_repo(repository, private=private or None, exist_ok=True)
        if revision and not create_pr:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repository,
            operations,
            commit_message=f"Publish {facts.model.name} with Plackett {version('plackett')}",
            revision=revision,
            create_pr=create_pr,
        )
    except Exception as error:  # as in `hub.download`
        raise hub_error(f"{folder} could not be published as {repository}", error) from error
    return Published(files, str(commit.pr_url or commit.commit_url))


def check(folder: Path) -> Facts:
    """Return a checkpoint's facts after checking that libraries read it alike and that its card is correct."""
    facts = read_facts(folder)
    check_inside(folder)
    encoder = CrossEncoder(folder)

    _check_readers(encoder.checkpoint)
    _check_card(folder, facts, encoder)
    if facts.calibration and parameters_of(read_calibration(folder)) != facts.calibration.parameters:
        raise CheckpointError(
            f"the card of {folder} shows a calibration that differs from its calibration file; calibrate again"
        )
    if facts.usage:
        scores = encoder.predict([(facts.usage.query, document) for document in facts.usage.documents])
        if not np.allclose(scores, facts.usage.scores, atol=TOLERANCE):
            raise CheckpointError(
                f"{folder} does not reproduce the scores on its card: its weights changed after {FACTS} was written; "
                "train again, or restore the weights"
            )
    return facts


def _check_readers(checkpoint: Checkpoint) -> None:
    pairs = [(query, document) for query in QUERIES for document in DOCUMENTS]
    found = [*misread(checkpoint), *misread_tokens(checkpoint, pairs)]
    if found:
        raise CheckpointError(
            f"other libraries would read {checkpoint.folder} differently from Plackett ({'; '.join(found)}); save it "
            f"again: CrossEncoder({str(checkpoint.folder)!r}).save_pretrained(FOLDER)"
        )


def _check_card(folder: Path, facts: Facts, encoder: CrossEncoder) -> None:
    card, again = folder / CARD, f"render it again: plackett card {folder}"
    now = encoder.checkpoint
    if (facts.model.activation, facts.model.max_length) != (now.activation, now.max_length):
        raise CheckpointError(f"the card of {folder} was made for another activation or token limit; {again}")

    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if text != render(facts):
        raise CheckpointError(f"{card} does not match {FACTS}; {again}")
    for picture in (TRAINING_PLOT, CALIBRATION_PLOT):
        if f"]({picture})" in text and not (folder / picture).is_file():
            raise CheckpointError(f"{card} shows {picture}, which is missing; {again}")
    _ = ModelCard.load(card).data


def _operations(folder: Path, facts: Facts) -> list[CommitOperationAdd]:
    """Return one operation per file, with the card, facts and recipe in their published form."""
    own = {CARD: render(facts).encode(), FACTS: dump_facts(facts).encode()}
    if (folder / RECIPE).is_file():
        own[RECIPE] = _recipe(folder / RECIPE, facts.model.base)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [name for name in names if not any(_left_out(part) for part in name.split("/"))]
    return [CommitOperationAdd(name, own.get(name) or str((folder / name).resolve())) for name in kept]


def _recipe(path: Path, base: str) -> bytes:
    """Return the recipe without local paths."""
    try:
        values = without_paths(json.loads(path.read_text(encoding="utf-8")), base=base)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} was not written by `plackett train`; delete it: {error!r}") from error
    return (json.dumps(values, indent=2) + "\n").encode()


def _left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)
