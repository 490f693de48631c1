"""Score pairs and rerank runs that do not fit into memory or onto one machine, on Ray Data."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.bulk.run import Bulk, Done, bulk

__all__ = ["Bulk", "Done", "bulk"]

__getattr__ = lazily(__name__, {"Bulk": "run", "Done": "run", "bulk": "run"}, extra="bulk")
