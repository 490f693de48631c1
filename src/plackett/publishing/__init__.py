"""Publishing: the facts of a checkpoint, its model card, the upload to the Hub."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.publishing.card import write_card
    from plackett.publishing.facts import Facts, read_facts

__all__ = ["Facts", "read_facts", "write_card"]

__getattr__ = lazily(__name__, {"Facts": "facts", "read_facts": "facts", "write_card": "card"})
