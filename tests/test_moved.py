"""What was documented before the packages is importable, and warns."""

import subprocess
import sys

import pytest

from plackett._moved import MOVED


@pytest.mark.process
@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("plackett.mining", "with_bm25", "plackett.retrieval"),
        ("plackett.readers", "read_collection", "plackett.data"),
        ("plackett.reports", "table", "plackett.evaluation.report"),
    ],
)
def test_a_documented_import_still_works_and_names_the_new_place(old, name, new):
    code = f"""
import importlib, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from {old} import {name}
assert {name} is getattr(importlib.import_module({new!r}), {name!r})
[warning] = [item for item in caught if item.category is DeprecationWarning and "plackett" in str(item.message)]
print(warning.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert old in done.stdout
    assert new in done.stdout


def test_every_moved_name_is_tried():
    assert set(MOVED) == {"plackett.mining", "plackett.readers", "plackett.reports"}


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"plackett\.nothing"):
        __import__("plackett.nothing")
