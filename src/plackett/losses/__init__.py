"""Losses: pure functions `(scores, labels, mask, *, options) -> scalar`, by name in `LOSSES`.

`scores` and `labels` are `[lists, depth]`, and `mask` is True for documents; values in the padding are ignored.
Arithmetic is in at least fp32, and stays finite for scores of ±1e4 in every precision. Lists without documents and
batches without lists give 0, with a gradient of 0 that stays attached to the graph. In `list_mle`, `p_list_mle`,
`list_softmax`, `rank_net`, `lambda_loss`, `approx_ndcg` and `neural_ndcg` the labels state preferences, so a list whose
labels are all equal gives 0 as well (except with two options of the reference: ties="input_order" and
scheme="ndcg_loss1"). In the other losses labels are targets, even if they are equal.

"The reference" is sentence-transformers 6.2.
"""

from collections.abc import Callable

from torch import Tensor

from plackett.losses.likelihood import POSITION_WEIGHTS, TIES, list_mle, p_list_mle
from plackett.losses.matrices import to_matrix
from plackett.losses.ndcg import approx_ndcg, neural_ndcg
from plackett.losses.pairwise import REDUCTIONS, SCHEMES, lambda_loss, margin_mse, rank_net
from plackett.losses.pointwise import adr_mse, binary_cross_entropy, mse
from plackett.losses.softmax import kl_divergence, list_net, list_softmax, multiple_negatives

__all__ = ["LOSSES", "POSITION_WEIGHTS", "REDUCTIONS", "SCHEMES", "TIES", "Loss", "to_matrix"]

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
    "list_net": list_net,
    "list_softmax": list_softmax,
    "rank_net": rank_net,
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "neural_ndcg": neural_ndcg,
    "adr_mse": adr_mse,
    "margin_mse": margin_mse,
    "kl_divergence": kl_divergence,
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
    "multiple_negatives": multiple_negatives,
}
