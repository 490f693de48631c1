"""Admission of requests: a bound on queued tokens, lower for requests of low priority."""

import math
from dataclasses import dataclass

from plackett.serving.refusal import Refusal


@dataclass(frozen=True)
class Admission:
    """Refuses requests that would extend the queue beyond `queue_tokens`, or `seconds` of work at the measured rate.

    A request with a `priority` above 0 (the default) has low priority: it is refused once the queue is
    `low_priority_share` full. If the queue is empty, any request is accepted.
    """

    queue_tokens: int
    low_priority_share: float
    seconds: float = math.inf

    def check(self, tokens: int, queued: int, rate: float, priority: int = 0) -> None:
        """Raise Refusal, status 429 with the duration of the queue, if there is no room for a request of `tokens`."""
        bound = min(self.queue_tokens, self.seconds * rate) * (self.low_priority_share if priority > 0 else 1.0)
        if not queued or queued + tokens <= bound:
            return
        seconds = max(1, math.ceil(queued / max(rate, 1.0)))
        raise Refusal(429, "the server is overloaded; try again later", headers={"Retry-After": str(seconds)})
