"""Rate and memory of bulk scoring."""
