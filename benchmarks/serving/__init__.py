"""Throughput, latency, fairness and faults of the server."""
