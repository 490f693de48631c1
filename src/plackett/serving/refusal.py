"""Errors with which the server refuses a request."""

from collections.abc import Mapping


class Refusal(Exception):
    """An error response: a status, a message without text from the request, the field at fault, and headers."""

    def __init__(self, status: int, message: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.headers = dict(headers or {})
