"""Check arguments of public functions, and fields of settings, against their annotations.

`checked` decorates a function, `check_fields` is called by the `__post_init__` of a record. Both raise SettingError for
the first value that does not fit. Annotations that are not listed below are checked by `isinstance`, if possible.
"""

import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from plackett.errors import SettingError

P = ParamSpec("P")
R = TypeVar("R")

LARGEST = 2**31 - 1
"""Largest whole number of a setting: the largest signed 32-bit integer."""


@dataclass(frozen=True)
class Bounds:
    """Finite numbers from `low` to `high`; `above` excludes `low` itself. Used as `Annotated[int, Bounds(1)]`."""

    low: float
    high: float = math.inf
    above: bool = False

    def allow(self, value: float) -> bool:
        """Whether the number is finite and within the bounds."""
        is_enough = self.low < value if self.above else self.low <= value
        return is_enough and value <= self.high and abs(value) != math.inf

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return low if self.high in {math.inf, LARGEST} else f"{low} and at most {self.high:g}"


COUNT = Bounds(1, LARGEST)
NOT_NEGATIVE = Bounds(0, LARGEST)


def checked(*, but: Collection[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check a function's arguments against their annotations, except those in `but`, which the function checks itself.

    NumPy numbers become Python's, and texts become paths where a `Path` is expected.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def check(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            for name, members in _annotations(function).items():
                if name in given.arguments and name not in but:
                    given.arguments[name] = _checked(name, given.arguments[name], members)
            return function(*given.args, **given.kwargs)

        return check

    return decorate


def check_fields(record: Any) -> None:
    """Check the fields of a dataclass against their annotations, and convert them as `checked` does."""
    owner: Any = type(record)
    for name, members in _annotations(owner).items():
        value = getattr(record, name)
        plain = _checked(name, value, members)
        if plain is not value:
            object.__setattr__(record, name, plain)  # works on frozen records too


@functools.cache
def _annotations(owner: Any) -> dict[str, tuple[Any, ...]]:
    """The annotation of each argument or field, as the members of a union."""
    hints = typing.get_type_hints(owner, include_extras=True)
    return {name: _members(annotation) for name, annotation in hints.items() if name != "return"}


def _checked(name: str, value: Any, members: Sequence[Any]) -> Any:
    """Return the value in the form that the function gets."""
    plain = value.item() if isinstance(value, np.generic) else value
    if not any(_fits(plain, member) for member in members):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        expected = " or ".join(dict.fromkeys(map(_name_of, members)))
        raise SettingError(f"{name} is {shown}, {_kind(value)}; it must be {expected}")
    return Path(plain) if Path in members and isinstance(plain, str | os.PathLike) else plain


def _members(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, or the annotation itself."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value matches an annotation that is not a union."""
    if annotation in _PLAIN:
        return _PLAIN[annotation][0](value)
    origin = typing.get_origin(annotation)
    if origin in _GENERIC:
        return _GENERIC[origin](value, typing.get_args(annotation))
    kind = origin or annotation
    return not isinstance(kind, type) or isinstance(value, kind)


def _is_within(value: Any, inner: Sequence[Any]) -> bool:
    """Whether a value fits an annotated type, `inner[0]`, and the bounds after it."""
    bounds = [item for item in inner[1:] if isinstance(item, Bounds)]
    return any(_fits(value, member) for member in _members(inner[0])) and all(it.allow(value) for it in bounds)


def _is_list(value: Any, inner: Sequence[Any]) -> bool:
    """Whether a value can be iterated; the items of a sized one must fit, if their type is plain."""
    item = inner[0]
    if isinstance(value, str | bytes | Mapping | type) or not hasattr(value, "__iter__"):
        return False
    is_plain = item in _PLAIN or typing.get_origin(item) is typing.Annotated
    return not is_plain or not hasattr(value, "__len__") or all(_fits(each, item) for each in value)


def _is_mapping(value: Any, kinds: Sequence[Any]) -> bool:
    """Whether a value is a mapping, with texts as keys and values where the annotation requires them."""
    if not isinstance(value, Mapping):
        return False
    pairs = ((value.keys(), kinds[0]), (value.values(), kinds[1]))
    return all(isinstance(each, str) for items, kind in pairs if kind is str for each in items)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # not NaN


def _is_text(value: Any) -> bool:
    """Whether a system call accepts a value as text: it has no null character and no unpaired surrogate."""
    try:
        return isinstance(value, str) and "\0" not in value and bool(os.fsencode(value) or True)
    except UnicodeEncodeError:
        return False


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and _is_text(os.fspath(value))


def _name_of(annotation: Any) -> str:
    """Name an annotation for an error message."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation][1]
    if origin is typing.Annotated:
        bounds = [str(item) for item in inner[1:] if isinstance(item, Bounds)]
        return ", ".join([" or ".join(map(_name_of, _members(inner[0]))), *bounds])
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Sequence, Iterable):
        return f"a list of {getattr(inner[0], '__name__', 'items')}"
    return f"a {getattr(origin or annotation, '__name__', annotation)}"


def _kind(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "which is not a finite number"
    return f"of type {type(value).__name__}"


_PLAIN: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    int: (_is_whole, "a whole number"),
    float: (_is_number, "a number"),
    str: (_is_text, "text"),
    Path: (_is_path, "a path"),
    os.PathLike: (_is_path, "a path"),
    os.PathLike[str]: (_is_path, "a path"),
    types.NoneType: (lambda value: value is None, "None"),
}
"""Annotation -> the test of a value, and its name in an error."""

_GENERIC: dict[Any, Callable[[Any, Sequence[Any]], bool]] = {
    typing.Annotated: _is_within,
    Literal: lambda value, choices: isinstance(value, str) and value in choices,
    Sequence: _is_list,
    Iterable: _is_list,
    Mapping: _is_mapping,
    typing.IO: lambda value, _: hasattr(value, "read"),
}
"""Origin of an annotation -> the test of a value, given what is in the brackets."""
