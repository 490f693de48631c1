"""Admission of requests: a bound on queued tokens, lower for requests of low priority."""

import math
from dataclasses import dataclass

from plackett.serving.refusal import Refusal


@dataclass(frozen=True)
class Admission:
    """Refuses what would make the queue longer than `queue_tokens`, or than `seconds` of work at the measured rate.

    A request with a `priority` above 0, the default, is of low priority: it is refused when the queue is
    `low_priority_share` full. Any request is accepted while nothing waits.
    """

    queue_tokens: int
    low_priority_share: float
    seconds: float = math.inf

    def check(self, tokens: int, queued: int, rate: float, priority: int = 0) -> None:
        """Raise Refusal, status 429 with the seconds that the queue takes, if a request of `tokens` has no room."""
        bound = min(self.queue_tokens, self.seconds * rate) * (self.low_priority_share if priority > 0 else 1.0)
        if not queued or queued + tokens <= bound:
            return
        seconds = max(1, math.ceil(queued / max(rate, 1.0)))
        raise Refusal(429, "the server is overloaded; try again later", headers={"Retry-After": str(seconds)})
