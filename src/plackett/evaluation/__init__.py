"""Evaluation: measures, comparisons with their significance, and reports."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.evaluation.comparison import Comparison, Measured, compare, compare_run, mean_of, with_holm
    from plackett.evaluation.measures import evaluate, evaluate_per_query
    from plackett.evaluation.report import table

__all__ = [
    "Comparison",
    "Measured",
    "compare",
    "compare_run",
    "evaluate",
    "evaluate_per_query",
    "mean_of",
    "table",
    "with_holm",
]

_COMPARISON = ("Comparison", "Measured", "compare", "compare_run", "mean_of", "with_holm")
_MEASURES = ("evaluate", "evaluate_per_query")

__getattr__ = lazily(
    __name__,
    dict.fromkeys(_COMPARISON, "comparison") | dict.fromkeys(_MEASURES, "measures") | {"table": "report"},
    extra="evaluate",
)
