"""Training speed beside sentence-transformers."""
