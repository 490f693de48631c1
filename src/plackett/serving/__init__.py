"""A rerank server for clients of TEI, Cohere, Jina, vLLM, Infinity and others."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.serving.settings import Settings
    from plackett.serving.start import serve

__all__ = ["Settings", "serve"]

__getattr__ = lazily(__name__, {"Settings": "settings", "serve": "start"}, extra="serve")
