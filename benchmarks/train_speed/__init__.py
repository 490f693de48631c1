"""Training speed compared with sentence-transformers."""
