"""The command line in a process that stops for a while after each chunk, so that a kill finds it in the middle."""

SLOW = """
import time
from plackett import cli
from plackett import _resumable as partial
append = partial.PartialFile.append
partial.PartialFile.append = lambda *given: (append(*given), time.sleep(0.3))
cli.main()
"""
