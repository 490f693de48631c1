"""Reranking speed beside other libraries."""
