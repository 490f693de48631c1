"""Frameworks that are missing, or too old, are named with their release."""

import pytest

from plackett.errors import MissingExtraError
from plackett.integrations._shared import framework


def test_a_release_that_is_too_old_is_named():
    with pytest.raises(MissingExtraError) as error, framework("frames", "narwhals", "9999.0"):
        pass
    assert "9999.0" in str(error.value)
    assert "plackett[frames]" in str(error.value)


def test_names_that_a_release_lacks_are_an_unsupported_release():
    with pytest.raises(MissingExtraError) as error, framework("frames", "narwhals", "1.0"):
        raise ImportError("cannot import name")
    assert "narwhals" in str(error.value)


def test_a_framework_that_is_missing_is_named():
    with pytest.raises(MissingExtraError) as error, framework("nothing", "nothing-at-all", "1.0"):
        import nothing_at_all  # type: ignore[import-not-found]  # noqa: F401
    assert "plackett[nothing]" in str(error.value)


def test_the_oldest_release_is_enough():
    with framework("frames", "narwhals", "0.1"):
        pass
