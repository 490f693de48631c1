"""Memory of a long-running process."""
