"""A request that the server answers with an error."""

from collections.abc import Mapping


class Refusal(Exception):
    """A status, a message that quotes nothing of the request, the field at fault, and headers to send."""

    def __init__(self, status: int, message: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.headers = dict(headers or {})
