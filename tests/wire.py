"""Three documents and what a server found out about them, best first 0, 2, 1: for the tests of dialects."""

import numpy as np

from plackett.dialects import Answer

QUERY = "what do cats eat"
TEXTS = ["fish and mice", "steel", "milk"]
ANSWER = Answer(
    logits=np.array([2.5, -1.0, 0.25], np.float32),
    scores=np.array([0.75, 0.125, 0.5], np.float32),
    model="tiny",
    tokens=21,
    id="a1",
    created=5,
)
USAGE = {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 21}
