"""All errors that Plackett raises deliberately.

PlackettError
 ├── InputError         a query, document, pair or label that cannot be scored        (also a ValueError)
 │    └── RequestError  a request in JSON that a server cannot read                   (also a ValueError)
 ├── SettingError       an option or a recipe key that does not exist or does not fit (also a ValueError)
 ├── DataError          a file that cannot be read: names the file and the line       (also a ValueError)
 ├── CheckpointError    a checkpoint that is missing, incomplete or unsupported       (also an OSError)
 │    ├── HubError      a checkpoint that cannot be downloaded from the Hub
 │    └── TooLargeError a checkpoint that needs more memory than is available
 ├── RemoteError        a server that is unreachable, refuses, or returns nonsense    (also an OSError)
 ├── ScoreError         a model that returned NaN or infinity                         (also an ArithmeticError)
 ├── TrainingError      a training run that collapsed                                 (also an ArithmeticError)
 └── MissingExtraError  an optional dependency that is not installed                  (also an ImportError)
"""

import difflib
from collections.abc import Iterable


class PlackettError(Exception):
    """Base class: `except PlackettError` catches every error that a user can fix."""


class InputError(PlackettError, ValueError):
    """A query, document, pair or label that cannot be scored."""


class RequestError(InputError):
    """A request in JSON that a server cannot read: `field` is at fault, `status` the HTTP status to return."""

    def __init__(self, message: str, *, field: str = "", status: int = 422) -> None:
        super().__init__(message)
        self.field = field
        self.status = status


class SettingError(PlackettError, ValueError):
    """An option or a recipe key that does not exist or does not fit."""

    @classmethod
    def unknown(cls, kind: str, name: object, known: Iterable[str]) -> "SettingError":
        """Return the error for a `name` that is not in `known`, suggesting the closest name or listing all."""
        choices = sorted(known)
        near = difflib.get_close_matches(str(name), choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
        return cls(f"unknown {kind} {name!r}; {hint}")


class DataError(PlackettError, ValueError):
    """A file that cannot be read: names the file and the line."""


class CheckpointError(PlackettError, OSError):
    """A checkpoint that is missing, incomplete or unsupported."""


class HubError(CheckpointError):
    """A checkpoint that cannot be downloaded from the Hub."""


class TooLargeError(CheckpointError):
    """A checkpoint that needs more memory than is available: `needed` and `available` are bytes."""

    def __init__(self, message: str, *, needed: int = 0, available: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class RemoteError(PlackettError, OSError):
    """A server that cannot be reached, refuses a request or returns an invalid response."""


class ScoreError(PlackettError, ArithmeticError):
    """A model that returned NaN or infinity."""


class TrainingError(PlackettError, ArithmeticError):
    """A training run that collapsed."""


class MissingExtraError(PlackettError, ImportError):
    """An optional dependency that is not installed."""
