"""Publishing: the facts of a checkpoint, its model card, and the upload to the Hub."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.publishing.card import write_card
    from plackett.publishing.storage import read_facts

__all__ = ["read_facts", "write_card"]

__getattr__ = lazily(__name__, {"read_facts": "storage", "write_card": "card"})
