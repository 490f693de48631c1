"""The remote engine: rerank servers over HTTP. `dialects` holds their wire formats."""
