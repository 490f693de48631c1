"""The Hugging Face Hub: downloads of checkpoints and data sets, `hf://` names, and what its refusals mean.

Knows files only, no models.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from plackett.errors import CheckpointError, DataError, HubError, PlackettError

Patterns = tuple[str, ...]

SETTINGS: Patterns = ("*.json", "*.jinja", "*.txt", "*.model", "README.md")
WEIGHTS: Sequence[Patterns] = [("*.safetensors",)]
PICKLES: Patterns = ("pytorch_model*.bin",)

# hf://datasets/OWNER/NAME[@REVISION]/FILE, as in fsspec; a revision is a branch, a tag, a commit or refs/pr/1.
_ON_THE_HUB = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@(refs/[^/]+/[^/]+|[^/]+))?/(.+)")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Access(NamedTuple):
    """Access to the Hub: a folder instead of its cache, and a token instead of the saved login."""

    cache_folder: str | None = None
    token: str | bool | None = None


AS_LOGGED_IN = Access()


def download(
    name: str,
    revision: str | None,
    *,
    local_files_only: bool,
    files: Sequence[Patterns] = WEIGHTS,
    access: Access = AS_LOGGED_IN,
) -> Path:
    """The folder of a repository at a revision (branch, tag or commit), from the Hub's cache or the Hub.

    It holds the settings and the first of `files` that the repository has: those where each pattern fits one. A cached
    commit is read without a network. Raises HubError where the Hub does not deliver, and CheckpointError for a
    repository that would write outside of its folder.
    """
    # Imported here because it is half of the time of `import plackett`, and only a Hub id needs it.
    from huggingface_hub import errors

    try:
        folder = _first_of(files, name, revision, local_files_only, access)
    except errors.HFValidationError as error:
        raise CheckpointError(f"there is no folder {name}, and it is not a Hub id such as org/name") from error
    except errors.GatedRepoError as error:
        raise HubError(f"{name} is gated: request access on its page, then set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"there is no folder {name}, and the Hub has no model with this name that you may read; for a private "
            "model, set HF_TOKEN, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{name} has no revision {revision!r}; name a branch, a tag or a commit") from error
    except errors.LocalEntryNotFoundError as error:
        if answered(error):
            raise hub_error(f"{name} could not be fetched from the Hub", error) from error
        at = f" at revision {revision!r}" if revision else ""
        raise HubError(
            f"there is no folder {name}, it is not in the Hub's cache{at}, and the Hub cannot be reached or is turned "
            "off; name a folder, or try again with a network connection"
        ) from error
    except Exception as error:  # connections, disks, and whatever the client makes of answers that are not the Hub's
        raise hub_error(f"{name} could not be fetched from the Hub", error) from error
    check_inside(folder)
    return folder


class HubFile(NamedTuple):
    """A file of a data set on the Hub; without a revision, that of its main branch."""

    repository: str
    revision: str | None
    path: str


def parse_hub_file(name: str) -> HubFile | None:
    """Parse `hf://datasets/OWNER/NAME@REVISION/FILE`; return None for a path, raise DataError for another `hf://`."""
    if not name.startswith("hf://"):
        return None
    match = _ON_THE_HUB.fullmatch(name)
    if match is None:
        raise DataError(f"{name} is not of the form hf://datasets/OWNER/NAME@REVISION/FILE")
    return HubFile(*match.groups())


def find_file(name: str) -> Path:
    """Return the local path of a file: a path unchanged, `hf://datasets/...` from the Hub's cache or the Hub."""
    file = parse_hub_file(name)
    if file is None:
        return Path(name)
    # Imported here as in `download`.
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(file.repository, file.path, repo_type="dataset", revision=file.revision))
    except (errors.EntryNotFoundError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            if answered(error):
                raise hub_error(f"{name} could not be fetched from the Hub", error) from error
            raise HubError(
                f"{name} is not in the Hub's cache, and the Hub cannot be reached or is turned off; "
                "name a file, or try again with a network"
            ) from error
        raise HubError(f"the Hub has no {name} that you may read") from error
    except Exception as error:  # as in `download`: whatever the client makes of answers that are not the Hub's
        raise hub_error(f"{name} could not be fetched from the Hub", error) from error


def download_dataset(repository: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a data set with the files that match `patterns`, from the Hub's cache or the Hub."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns)))
    except Exception as error:  # as in `download`
        raise HubError(
            f"{repository} is not a local folder and could not be fetched from the Hub: {without_tokens(str(error))}; "
            "name a local copy, or try again with a network"
        ) from error


def torch_files(*, allow_pickle: bool) -> list[Patterns]:
    """Choose the files of a repository that torch needs: safetensors, else pickles where they are allowed."""
    return [*WEIGHTS, *([PICKLES] if allow_pickle else [])]


def _first_of(
    files: Sequence[Patterns], name: str, revision: str | None, local_files_only: bool, access: Access
) -> Path:
    from huggingface_hub import snapshot_download

    for patterns in files:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=[*SETTINGS, *patterns],
                cache_dir=access.cache_folder,
                token=access.token,
            )
        )
        if all(any(folder.glob(pattern)) for pattern in patterns):
            break
        revision = folder.name  # its commit: the next are of the same
    return folder


def check_inside(folder: Path) -> None:
    """Nothing in a folder leads out of it: no link, no part of a path. The Hub's cache may link to its own blobs.

    Those are beside the snapshots, and since huggingface-hub 2.4 what came by Xet is shared by all repositories.
    """
    folder = folder.resolve()
    repository = folder.parent.parent
    roots = [repository, repository.parent / "blobs"] if folder.parent.name == "snapshots" else [folder]
    for path in sorted(folder.rglob("*")):
        if not any(path.resolve().is_relative_to(root) for root in roots):
            raise CheckpointError(
                f"{path} is a link that leads out of the checkpoint, to {path.readlink()}; put the file in its place"
            )


def commit_of(path: Path) -> str:
    """The commit that a path in the Hub's cache belongs to; empty for any other path."""
    for folder in (path.absolute(), *path.absolute().parents):
        if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
            return folder.name
    return ""


def repository_of(path: Path) -> str:
    """The Hub id of the model that a folder in the Hub's cache holds; empty for any other folder."""
    prefix, _, name = path.parent.parent.name.partition("--")
    return name.replace("--", "/") if commit_of(path) == path.name and prefix == "models" else ""


def inside(folder: Path, name: str) -> Path:
    """The path of a file that a configuration names; CheckpointError for one that leads out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or not path.parts:
        raise CheckpointError(f"a configuration in {folder} names the file {name!r}, which is outside the folder")
    return folder / path


def hub_error(what: str, error: Exception) -> PlackettError:
    """The HubError for what the client raised. Says what to do next, and never a token."""
    answer = answered(error)
    # Uploads by Xet are made of Rust, which leaves a status in words only.
    words = re.search(r"HTTP status \w+ error \((\d{3}) ", str(error))
    status = answer.response.status_code if answer else int(words[1]) if words else 0
    reason = {
        401: "the token is missing or not valid: set HF_TOKEN, or log in with `hf auth login`",
        403: "the token may not do this: give it write access to the repository or its organisation",
        404: "the Hub has no such repository or branch, or none that this token may see",
        409: "someone else changed the repository at the same time: try again",
        412: "someone else changed the repository at the same time: try again",
        413: "the Hub does not accept a file of this size",
        429: "the Hub received too many requests: try again in a few minutes",
    }.get(status, without_tokens(str(answer or error)))
    return HubError(f"{what}: {reason}")


def answered(error: BaseException) -> Any:
    """The error that holds the Hub's answer, among those that the client wrapped it in; None where there was none."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__
    return cause


def without_tokens(text: str) -> str:
    """The text, with every token of this process blotted out."""
    from huggingface_hub import get_token

    for token in {get_token(), os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")}:
        if token and token.strip():
            text = text.replace(token.strip(), "[token]")
    return text


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form owner/name."""
    return _HUB_ID.fullmatch(name) is not None
