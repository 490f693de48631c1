"""Speed, memory and quality against peers, one command each: `python -m benchmarks.NAME.run`."""
