"""One module per command: the work that the command line calls, without parsing and printing."""
