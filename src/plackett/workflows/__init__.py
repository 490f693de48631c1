"""One file for each command: what the command line calls, without its parsing and printing."""
