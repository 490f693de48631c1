"""NVIDIA NIM: what its clients send, and what they need."""

from dataclasses import replace

import pytest

from plackett.dialects import RerankRequest, recognise
from plackett.dialects.nim import NIM
from wire import ANSWER, QUERY, TEXTS, USAGE

BODY = {"model": "m", "query": {"text": QUERY}, "passages": [{"text": text} for text in TEXTS]}


@pytest.mark.parametrize(("word", "truncate"), [("END", True), ("NONE", False), (None, True), (False, False)])
def test_a_request_is_one_for_logits(word, truncate):
    assert recognise(BODY) is NIM
    read = NIM.parse(BODY | {"truncate": word, "raw_scores": False})
    assert (read.pairs, read.raw, read.truncate) == ([(QUERY, text) for text in TEXTS], True, truncate)
    assert read.ignored == ("raw_scores",)


def test_a_reply_has_rankings_best_first():
    answer = replace(ANSWER, scores=ANSWER.logits)
    assert NIM.reply(RerankRequest.of(QUERY, TEXTS, return_documents=True), answer) == {
        "rankings": [{"index": 0, "logit": 2.5}, {"index": 2, "logit": 0.25}, {"index": 1, "logit": -1.0}],
        "usage": USAGE,
    }


def test_a_question_of_objects():
    assert NIM.ask(RerankRequest.of(QUERY, TEXTS, model="m", truncate=False)) == BODY | {"truncate": "NONE"}
