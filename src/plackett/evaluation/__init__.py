"""Evaluation: measures, comparisons with their significance, reports."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.evaluation.comparison import Comparison, compare, evaluate

__all__ = ["Comparison", "compare", "evaluate"]

__getattr__ = lazily(__name__, {"Comparison": "comparison", "compare": "comparison", "evaluate": "comparison"})
