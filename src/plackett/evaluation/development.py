"""Measure the same collections repeatedly during training."""

from collections.abc import Sequence
from statistics import fmean

from plackett.cross_encoder import ALONE, CrossEncoder, Share
from plackett.errors import ScoreError
from plackett.evaluation.measures import MEASURES, evaluate_per_query, means
from plackett.ranking import judged_only
from plackett.records import HELD_OUT, Collection
from plackett.retrieval.reranking import Candidates


class Evaluator:
    """Measures a model on the same collections repeatedly; each is tokenised once and kept."""

    def __init__(self, collections: Sequence[Collection], *, depth: int, measures: Sequence[str] = MEASURES) -> None:
        self._collections = [judged_only(collection)[0] for collection in collections]
        self._depth = depth
        self._measures = measures
        self._candidates: dict[str, Candidates] = {}

    def __call__(self, encoder: CrossEncoder, share: Share = ALONE) -> dict[str, float]:
        """Return the means by `measured_names`; processes that share the work return the same.

        Raises ScoreError if the model returns NaN or infinity, or one score for all candidates of a collection.
        """
        found = {}
        for collection in self._collections:
            for measure, value in self._measured(collection, encoder, share).items():
                found[f"{collection.name}_{measure}"] = value

        averaged = _averaged([collection.name for collection in self._collections])
        for measure in self._measures if averaged else ():
            found[f"mean_{measure}"] = fmean(found[f"{name}_{measure}"] for name in averaged)
        return found

    def _measured(self, collection: Collection, encoder: CrossEncoder, share: Share) -> dict[str, float]:
        if collection.name not in self._candidates:
            self._candidates[collection.name] = Candidates.of(encoder, collection, self._depth)

        run = self._candidates[collection.name].rerank(encoder, share=share)
        if len({scored.score for scored in run}) == 1 < len(run):
            raise ScoreError(f"the scores of {collection.name} are all the same")
        return means(evaluate_per_query(run, collection.qrels, self._measures))


def measured_names(collections: Sequence[str], measures: Sequence[str]) -> list[str]:
    """Return the keys of an `Evaluator`'s result: `COLLECTION_MEASURE`, and `mean_MEASURE` for several collections.

    The mean weights the collections equally and excludes lists that were held out of the training data.
    """
    means_too = ["mean"] if _averaged(collections) else []
    return [f"{name}_{measure}" for name in (*collections, *means_too) for measure in measures]


def _averaged(collections: Sequence[str]) -> list[str]:
    names = [name for name in collections if name != HELD_OUT]
    return names if len(names) > 1 else []
