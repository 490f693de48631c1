import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.errors import RequestError
from plackett.serving.strict_json import read_json, write_json

TEXTS = st.text()  # without half characters
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_json_is_read_as_python_reads_it(value):
    assert read_json(json.dumps(value).encode(), 50) == value
    assert json.loads(write_json(value)) == value


@given(st.binary())
def test_bytes_are_json_or_refused(body):
    value = refusal = None
    try:
        value = read_json(body, 50)
    except RequestError as error:
        refusal = error
    if refusal is None:
        assert json.loads(body.decode("utf-8-sig")) == value
    else:
        assert refusal.status == 400
        assert len(str(refusal)) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 9223372036854775808}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 51 + b"]" * 51,
        b'"\xff"',
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_json_does_not_have_is_refused(body):
    with pytest.raises(RequestError) as caught:
        read_json(body, 50)
    assert caught.value.status == 400


def test_the_deepest_nesting_is_read():
    assert read_json(b"[" * 50 + b"]" * 50, 50) is not None


def test_half_characters_pass_for_those_who_can_name_them():
    assert read_json(b'"\\ud800"', 1) == "\ud800"


def test_nan_is_never_written():
    with pytest.raises(ValueError, match="JSON"):
        write_json(float("nan"))
