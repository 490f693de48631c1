"""Benchmarks of speed, memory and quality against other libraries: `python -m benchmarks.NAME.run`."""
