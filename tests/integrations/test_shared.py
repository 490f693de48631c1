"""Frameworks that are missing, or too old, are named with their release."""

import pytest

from plackett import CrossEncoder
from plackett.errors import InputError, MissingExtraError
from plackett.integrations._shared import check_items, framework, opened


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


@pytest.mark.parametrize("is_open", [False, True])
def test_a_model_whose_labels_do_not_rank_is_refused(tiny, is_open):
    folder = tiny("bert", 3)
    with pytest.raises(InputError) as error:
        opened(CrossEncoder(folder) if is_open else folder)
    assert "positive_label" in str(error.value)
    assert "LABEL_2" in str(error.value)


def test_a_model_that_ranks_by_one_of_its_labels_is_taken(tiny):
    encoder = CrossEncoder(tiny("bert", 3), positive_label="LABEL_2")
    assert opened(encoder) is encoder


@pytest.mark.parametrize("items", [(text for text in "ab"), "ab", {"a": "b"}, 3])
def test_documents_that_are_no_list_are_refused(items):
    with pytest.raises(InputError, match="list"):
        check_items(items, str, "str(...)")
