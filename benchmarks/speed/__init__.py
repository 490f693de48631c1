"""Speed of reranking compared with other libraries."""
