"""One tree of errors, each also the built-in that people expect."""

import inspect

import pytest

from plackett import errors
from plackett.errors import PlackettError, SettingError

EXPECTED = {
    "InputError": ValueError,
    "RequestError": errors.InputError,
    "SettingError": ValueError,
    "DataError": ValueError,
    "CheckpointError": OSError,
    "HubError": errors.CheckpointError,
    "TooLargeError": errors.CheckpointError,
    "RemoteError": OSError,
    "ScoreError": ArithmeticError,
    "TrainingError": ArithmeticError,
    "MissingExtraError": ImportError,
}


def tree():
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name: cls for name, cls in classes if cls.__module__ == "plackett.errors" and cls is not PlackettError}


def test_the_tree_is_the_one_in_the_docstring():
    assert set(tree()) == set(EXPECTED)
    drawn = [word for line in errors.__doc__.splitlines() for word in line.split() if word.endswith("Error")]
    assert set(EXPECTED) <= set(drawn)


@pytest.mark.parametrize(("name", "built_in"), EXPECTED.items())
def test_each_is_a_plackett_error_and_a_built_in(name, built_in):
    error = tree()[name]("what was wrong, where, what to do")
    assert isinstance(error, PlackettError)
    assert isinstance(error, built_in)
    assert str(error) == "what was wrong, where, what to do"


def test_the_near_name_is_suggested_and_else_all_are_shown():
    assert str(SettingError.unknown("loss", "list_mel", ["list_mle", "mse"])) == (
        "unknown loss 'list_mel'; did you mean 'list_mle'?"
    )
    assert str(SettingError.unknown("loss", "xyz", ["mse", "list_mle"])) == "unknown loss 'xyz'; known: list_mle, mse"
    assert "None" in str(SettingError.unknown("loss", None, ["mse"]))
