"""`plackett demo`: reranking Python's own documentation."""
