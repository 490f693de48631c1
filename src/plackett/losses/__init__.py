"""Losses: pure functions `(scores, labels, mask, *, options) -> scalar`, by name in `LOSSES`.

`scores` and `labels` are `[lists, depth]`, `mask` is True where there is a document; whatever the padding holds is
ignored. Arithmetic is in fp32 at least. Scores of ±1e4 stay finite in every precision. Lists without documents give
0, and so do batches without lists, with a gradient of 0 that stays attached to the graph. In `list_mle`,
`p_list_mle`, `list_softmax`, `rank_net`, `lambda_loss`, `approx_ndcg` and `neural_ndcg` the labels state preferences,
so a list whose labels are all equal gives 0 as well (two options of the reference excepted: ties="input_order" and
scheme="ndcg_loss1"); in the other losses labels are targets, and equal targets are still targets.

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
