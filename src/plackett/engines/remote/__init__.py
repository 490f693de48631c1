"""The remote engine: rerank servers over HTTP."""
