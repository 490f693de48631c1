"""The one door to optional dependencies."""

import json
import sys

import pytest

from plackett import MissingExtraError
from plackett._extras import require


def test_what_is_installed_is_imported():
    assert require("json", extra="train") is json


def test_what_is_missing_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"no_such_module.*'plackett\[train\]'"):
        require("no_such_module.inside", extra="train")


def test_what_a_module_of_ours_misses_is_named_itself(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="no_such_dependency"):
        require("needs_more", extra="serve")


def test_a_module_of_ours_that_is_missing_is_a_bug_and_no_extra():
    with pytest.raises(ModuleNotFoundError, match=r"plackett\.no_such_module") as caught:
        require("plackett.no_such_module", extra="train")
    assert not isinstance(caught.value, MissingExtraError)


def test_other_failures_pass_through(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        require("broken_module", extra="train")
    assert "broken_module" not in sys.modules
