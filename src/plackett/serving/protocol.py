"""uvicorn's protocol with time limits for incomplete headers and bodies, and for replies that are not read.

uvicorn times idle connections only after a reply. It also treats a client that closed its sending side as gone. Here
such a client gets its reply: interim responses distinguish it from one that is gone, whose system refuses them.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from plackett.dialects import DIALECTS, Problem
from plackett.serving.settings import Settings
from plackett.serving.strict_json import write_json

PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROBES, BETWEEN = 3, 0.2  # the first provokes the refusal, a later one detects it
LINGER = 1.0  # seconds to read the rest of a refused request; otherwise a reset could overtake the reply
REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class TimedProtocol(H11Protocol):
    """One connection."""

    settings = Settings()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the headers of a request."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._timed = ""
        self._writing: asyncio.TimerHandle | None = None
        self._refused = False
        self._ended = False
        self._time("head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._time("")
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read data, unless the request was refused."""
        if self._refused:
            return
        if self._is_too_large(data):
            self._refuse(431, "the headers of the request are too large")
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Prepare for the next request."""
        super().on_response_complete()
        if self._ended:
            self._finish()
        if not self._refused:
            self._watch()

    def pause_writing(self) -> None:
        """Limit the time that a client may take to read its reply."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.settings.body_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer, because the client is reading."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for the reply if the client only closed its sending side."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.conn.their_http_version != b"1.1":
            return False
        self._ended = True
        self._finish()
        return True

    def _finish(self) -> None:
        """Close after the replies to all requests that were sent before the end."""
        cycle = self.cycle
        if cycle.response_complete or cycle.more_body:
            self.transport.close()
            return
        if not self.conn.trailing_data[0]:
            cycle.keep_alive = False
        self._probe(cycle, PROBES)

    def send_400_response(self, msg: str) -> None:
        """Refuse anything that is not HTTP."""
        self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Treat the request as plain HTTP, without advice to install libraries for WebSockets."""

    def _is_too_large(self, data: bytes) -> bool:
        """Whether headers exceed the limit. h11 limits only those that arrive in several parts."""
        if self.conn.their_state is not h11.IDLE:
            return False
        head = self.conn.trailing_data[0] + data
        return len(head.partition(b"\r\n\r\n")[0]) > self.settings.max_header_bytes

    def _watch(self) -> None:
        if self.conn.their_state is h11.SEND_BODY:
            self._time("body")
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._time("head")
        else:
            self._time("")

    def _time(self, what: str) -> None:
        """Start the timer of a part of a request, unless it is running: more data of a part does not extend it."""
        if what == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
        seconds = self.settings.header_timeout if what == "head" else self.settings.body_timeout
        self._timer = self.loop.call_later(seconds, self._expire) if what else None
        self._timed = what

    def _expire(self) -> None:
        cycle = self.cycle
        sent_nothing = self._timed == "head" and not self.conn.trailing_data[0]
        if sent_nothing or (self._timed == "body" and cycle is not None and cycle.response_started):
            self.transport.close()
            return
        if self._timed == "body" and cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._refuse(408, "the request was not sent in time")

    def _refuse(self, status: int, message: str) -> None:
        """Send an error, keep reading briefly, and close."""
        body = write_json(DIALECTS["cohere"].error(Problem(status, message)))
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self._refused = True
        self._time("")
        self.transport.resume_reading()
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.loop.call_later(LINGER, self.transport.close)

    def _probe(self, cycle: RequestResponseCycle, times: int) -> None:
        if times and not cycle.response_started and not self.transport.is_closing():
            self.transport.write(PROBE)
            self.loop.call_later(BETWEEN, self._probe, cycle, times - 1)


def protocol(settings: Settings) -> type[asyncio.Protocol]:
    """Return the protocol class with the limits of a server."""
    return type("Protocol", (TimedProtocol,), {"settings": settings})
