"""Memory of a process that keeps reranking."""
