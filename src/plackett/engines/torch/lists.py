"""Listwise rerankers in torch: projections of a decoder's states at marked tokens, compared with the query's by cosine.

jina-reranker-v3 (arXiv:2509.25085) is a Qwen3 and two linear layers. Each prompt runs alone, without padding: prompts
are long, and scores do not depend on other lists.
"""

import itertools
import os

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import AutoModel

from plackett._compat.transformers import quiet
from plackett.checkpoints.conversions.folders import headers
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.lists import marks_of
from plackett.engines.base import check_process, computing
from plackett.errors import CheckpointError
from plackett.models.classifier import cannot_be_loaded
from plackett.tokenization.lists import EncodedLists

PROJECTOR = ("projector.0.weight", "projector.2.weight")

Array = NDArray[np.float32]


class TorchListEngine:
    """Runs a listwise reranker in its present state."""

    token_budget = 2048

    def __init__(
        self, model: torch.nn.Module, projector: torch.nn.Module, checkpoint: Checkpoint, marks: tuple[int, int]
    ) -> None:
        self._model = model.eval()
        self._projector = projector.eval()
        self._checkpoint = checkpoint
        self._process = os.getpid()
        self._document, self._query = marks

    def score(self, batch: EncodedLists) -> Array:
        """Return cosines, float32 (documents of all lists, 1)."""
        if torch.get_num_threads() > 1:
            check_process(self._process, "torch")
        with computing(self._checkpoint, "torch"), torch.inference_mode():
            embedded = [self._embedded(*bounds, batch) for bounds in itertools.pairwise(batch.prompts.cu_seqlens)]
        found = [list_cosines(embedded[start:end]) for start, end in itertools.pairwise(batch.cu_lists)]
        return np.concatenate([np.empty(0, np.float32), *found]).astype(np.float32)[:, None]

    def _embedded(self, start: int, end: int, batch: EncodedLists) -> tuple[Array, Array]:
        """Return the embeddings of a prompt's query, (1, width), and of its documents, (documents, width)."""
        token_ids = torch.from_numpy(batch.prompts.token_ids[start:end])
        device = next(self._model.parameters()).device
        states = self._model(input_ids=token_ids[None].to(device), use_cache=False).last_hidden_state[0].cpu()
        query, documents = (
            self._projector(states[token_ids == mark].float()).numpy() for mark in (self._query, self._document)
        )
        return query, documents


def list_cosines(prompts: list[tuple[Array, Array]]) -> Array:
    """Return the scores of a list, (documents,), from the embeddings of its prompts, combined as by the authors.

    The query of a list is the mean of its prompts' queries, weighted by the best cosine in each, scaled to 0 to 1.
    """
    weights = np.array([(1 + _cosines(*prompt).max()) / 2 for prompt in prompts])
    if not weights.any():
        weights[:] = 1
    query = np.average([query for query, _ in prompts], axis=0, weights=weights)
    return _cosines(query, np.concatenate([documents for _, documents in prompts]))


def _cosines(query: Array, documents: Array) -> Array:
    norms = np.linalg.norm(query) * np.linalg.norm(documents, axis=1)
    return np.asarray(documents @ query[0] / norms, np.float32)


def load_lists(checkpoint: Checkpoint, device: str, dtype: torch.dtype) -> TorchListEngine:
    """Load the listwise reranker of a checkpoint: its decoder in `dtype`, its projector in fp32."""
    form = checkpoint.lists
    if form is None:
        raise CheckpointError(f"{checkpoint.folder} is not a listwise reranker")
    projector = _projector(checkpoint)
    with quiet():
        try:
            model, report = AutoModel.from_pretrained(
                checkpoint.folder,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises many kinds for an inconsistent configuration
            raise cannot_be_loaded(checkpoint, error) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{checkpoint.folder} lacks the weights {', '.join(missing[:3])}; download it again")
    return TorchListEngine(model.to(device), projector, checkpoint, marks_of(checkpoint.folder, form))


def _projector(checkpoint: Checkpoint) -> torch.nn.Module:
    names = headers(checkpoint.folder)
    missing = [name for name in PROJECTOR if name not in names]
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder} lacks the weights {missing[0]}, without which a listwise reranker has no score; "
            "download it again"
        )
    layers = []
    for name in PROJECTOR:
        with safe_open(names[name][0], "pt") as file:
            weight = file.get_tensor(name).float()
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        layers.append(layer)
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])
