"""The Hugging Face Hub: downloads of checkpoints and data sets, `hf://` names, and explanations of its errors.

This module handles files only, and is independent of models.
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
_ADDRESS = re.compile(r"[\w.-]+:\d+(/|$)")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Access(NamedTuple):
    """Access to the Hub: a folder to use instead of its cache, and a token to use instead of the saved login."""

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
    """Return the folder of a repository at a revision (branch, tag or commit), from the Hub's cache or the Hub.

    It contains the settings and the first group of `files` of which every pattern matches a file. A cached commit is
    read without a network. Raises HubError if the download fails, and CheckpointError for a repository that would write
    outside its folder.
    """
    # Imported here because it takes half the time of `import plackett`, and only Hub ids need it.
    from huggingface_hub import errors

    try:
        folder = _first_of(files, name, revision, local_files_only, access)
    except errors.HFValidationError as error:
        server = f"; if it is a server, write http://{name}" if _ADDRESS.match(name) else ""
        raise CheckpointError(f"there is no folder {name}, and it is not a Hub id such as org/name{server}") from error
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
            f"there is no folder {name}, it is not in the Hub's cache{at}, and the Hub is unreachable or disabled; "
            "name a local folder, or try again with a network connection"
        ) from error
    except Exception as error:  # connections, disks, and responses that are not the Hub's
        raise hub_error(f"{name} could not be fetched from the Hub", error) from error
    check_inside(folder)
    return folder


class HubFile(NamedTuple):
    """A file of a data set on the Hub; without a revision, it comes from the main branch."""

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
    """Return the local path of a file: paths unchanged, `hf://datasets/...` from the Hub's cache or the Hub."""
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
                f"{name} is not in the Hub's cache, and the Hub is unreachable or disabled; name a local file, or "
                "try again with a network connection"
            ) from error
        raise HubError(f"the Hub has no {name} that you may read") from error
    except Exception as error:  # as in `download`: responses that are not the Hub's
        raise hub_error(f"{name} could not be fetched from the Hub", error) from error


def download_dataset(repository: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a data set with the files that match `patterns`, from the Hub's cache or the Hub."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns)))
    except Exception as error:  # as in `download`
        raise HubError(
            f"{repository} is not a local folder and could not be fetched from the Hub: "
            f"{without_tokens(str(error))}; name a local copy, or try again with a network connection"
        ) from error


def torch_files(*, allow_pickle: bool) -> list[Patterns]:
    """Choose the files of a repository that torch needs: safetensors, else pickles if they are allowed."""
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
        revision = folder.name  # the commit, for the remaining downloads
    return folder


def check_inside(folder: Path) -> None:
    """Raise CheckpointError for links that lead out of a folder. The Hub's cache may link to its own blobs.

    Blobs are stored beside the snapshots; since huggingface-hub 2.4, all repositories share files downloaded by Xet.
    """
    folder = folder.resolve()
    repository = folder.parent.parent
    roots = [repository, repository.parent / "blobs"] if folder.parent.name == "snapshots" else [folder]
    for path in sorted(folder.rglob("*")):
        if not any(path.resolve().is_relative_to(root) for root in roots):
            raise CheckpointError(
                f"{path} is a link to {path.readlink()}, outside the checkpoint; replace it with a copy of the file"
            )


def commit_of(path: Path) -> str:
    """Return the commit of a path in the Hub's cache; empty for any other path."""
    for folder in (path.absolute(), *path.absolute().parents):
        if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
            return folder.name
    return ""


def repository_of(path: Path) -> str:
    """Return the Hub id of a folder in the Hub's cache; empty for any other folder."""
    prefix, _, name = path.parent.parent.name.partition("--")
    return name.replace("--", "/") if commit_of(path) == path.name and prefix == "models" else ""


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file named by a configuration; CheckpointError if it is outside the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or not path.parts:
        raise CheckpointError(f"a configuration in {folder} names the file {name!r}, which is outside the folder")
    return folder / path


def hub_error(what: str, error: Exception) -> PlackettError:
    """Return the HubError for an error of the client, with advice and without tokens."""
    answer = answered(error)
    # Xet's uploader is written in Rust and reports the status only in its message.
    words = re.search(r"HTTP status \w+ error \((\d{3}) ", str(error))
    status = answer.response.status_code if answer else int(words[1]) if words else 0
    reason = {
        401: "the token is missing or not valid: set HF_TOKEN, or log in with `hf auth login`",
        403: "the token lacks permission: give it write access to the repository or its organisation",
        404: "the repository or branch does not exist, or this token cannot access it",
        409: "someone else changed the repository at the same time: try again",
        412: "someone else changed the repository at the same time: try again",
        413: "the Hub does not accept a file of this size",
        429: "the Hub received too many requests: try again in a few minutes",
    }.get(status, without_tokens(str(answer or error)))
    return HubError(f"{what}: {reason}")


def answered(error: BaseException) -> Any:
    """Return the error with the Hub's response from the chain of the client's errors; None without a response."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__
    return cause


def without_tokens(text: str) -> str:
    """Return the text with every token of this process masked."""
    from huggingface_hub import get_token

    for token in {get_token(), os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")}:
        if token and token.strip():
            text = text.replace(token.strip(), "[token]")
    return text


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form owner/name."""
    return _HUB_ID.fullmatch(name) is not None
