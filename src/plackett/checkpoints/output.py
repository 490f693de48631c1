"""The folder that a checkpoint is written to: new, empty, or containing only an older checkpoint."""

import contextlib
import fnmatch
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from plackett._files import Name, OutputFolder, output_folder
from plackett.checkpoints.bundled import SUMS
from plackett.checkpoints.heads import architectures_of
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import (
    CALIBRATION,
    CALIBRATION_PLOT,
    CARD,
    CONFIG,
    FACTS,
    MODULES,
    RECIPE,
    SENTENCE_TRANSFORMERS,
    SPECIAL_TOKENS,
    TRAINING_PLOT,
    WEIGHTS,
    WEIGHTS_INDEX,
)
from plackett.errors import CheckpointError

# The files of a checkpoint, as written by Plackett, sentence-transformers and transformers, or downloaded from a hub.
_WEIGHTS = ("model*.safetensors", WEIGHTS_INDEX, "pytorch_model*.bin", "pytorch_model.bin.index.json")
_SETTINGS = (
    *(CONFIG, SENTENCE_TRANSFORMERS, "sentence_bert_config.json", MODULES),
    *("generation_config.json", "preprocessor_config.json", "processor_config.json", RECIPE),
)
_TOKENIZER = (
    *("tokenizer*.json", SPECIAL_TOKENS, "added_tokens.json", "merges.txt", "*.model"),
    *("vocab.txt", "vocab.json", "vocab.bpe", "chat_template.jinja", "chat_template.json"),
)
_SHOWN = (
    *(CARD, "LICENSE", "LICENSE.*", "NOTICE", FACTS, SUMS),
    *(TRAINING_PLOT, CALIBRATION, CALIBRATION_PLOT),
)
_FILES = (*_WEIGHTS, *_SETTINGS, *_TOKENIZER, *_SHOWN)
_LOADED = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.jinja", "*.py")  # copied, as other libraries may read them

# Its subfolders, each with its files: exports, and the modules of sentence-transformers.
_FOLDERS = {
    "onnx": ("*.onnx", "*.onnx_data", "*.onnx.data"),
    "openvino": ("openvino_*.xml", "openvino_*.bin"),
    "additional_chat_templates": ("*.jinja",),
    "[0-9]_[A-Z]*": (CONFIG, WEIGHTS, "pytorch_model.bin"),
}


def checkpoint_folder(name: Name, *, inputs: Iterable[Name] = ()) -> OutputFolder:
    """Check that a checkpoint may be written to `name`; CheckpointError if not."""
    return output_folder(name, foreign_entries, inputs=inputs)


@contextlib.contextmanager
def whole_folder(target: Name) -> Iterator[Path]:
    """Yield an empty folder, which replaces `target` when the block ends without an error."""
    with checkpoint_folder(target).work() as folder:
        yield folder


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy the files of a checkpoint, resolving links, but not other files in its folder: notes, data, `.git`."""
    for path in sorted(source.iterdir()):
        if path.is_dir() and _inner_files(path.name):
            (target / path.name).mkdir()
            _copy_files(path, target / path.name, _inner_files(path.name))
    _copy_files(source, target, (*_FILES, *_LOADED))


def _copy_files(source: Path, target: Path, patterns: Sequence[str]) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and _matches(path.name, patterns) and path.name != SUMS:
            shutil.copyfile(path, target / path.name)


def foreign_entries(folder: Path) -> list[str]:
    """Return the entries that do not belong to a checkpoint; all of them if the folder is not recognised as one."""
    paths = [path for path in sorted(folder.iterdir()) if not path.name.endswith(".plackett")]
    foreign = [name for path in paths for name in _foreign(path)]
    return foreign or ([] if _is_checkpoint(folder) else [path.name for path in paths])


def _foreign(path: Path) -> list[str]:
    """Return what in an entry does not belong to a checkpoint: the entry itself, or files in it."""
    if not path.is_dir():
        return [] if _matches(path.name, _FILES) else [path.name]
    inside = _inner_files(path.name)
    if not inside or path.is_symlink():
        return [path.name]
    return [f"{path.name}/{it.name}" for it in sorted(path.iterdir()) if it.is_dir() or not _matches(it.name, inside)]


def _inner_files(folder: str) -> Sequence[str]:
    """Return the files that a checkpoint's subfolder of that name may contain."""
    return next((files for name, files in _FOLDERS.items() if fnmatch.fnmatchcase(folder, name)), ())


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder has Plackett's facts, or weights and a configuration that names a sequence classifier."""
    if (folder / FACTS).is_file():
        return True
    try:
        architectures = architectures_of(read_json(folder / CONFIG))
    except CheckpointError:
        return False
    classifier = any("SequenceClassification" in name for name in architectures)
    return classifier and any(any(folder.glob(pattern)) for pattern in (*_WEIGHTS, "onnx/*", "openvino/*"))
