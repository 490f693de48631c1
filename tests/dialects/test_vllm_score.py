"""vLLM's /score: two sides of texts."""

import pytest

from plackett.dialects import RerankRequest, recognise
from plackett.dialects.vllm_score import VLLM_SCORE
from plackett.errors import RequestError
from wire import ANSWER, QUERY, TEXTS, USAGE


@pytest.mark.parametrize(
    ("left", "right"), [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")]
)
@pytest.mark.parametrize(
    ("queries", "documents", "pairs"),
    [
        ("q", "d", [("q", "d")]),
        ("q", ["d", "e"], [("q", "d"), ("q", "e")]),
        (["q"], ["d", "e"], [("q", "d"), ("q", "e")]),
        (["q", "r"], ["d", "e"], [("q", "d"), ("r", "e")]),
    ],
)
def test_sides_are_paired(left, right, queries, documents, pairs):
    body = {left: queries, right: documents, "model": "m"}
    assert recognise(body) is VLLM_SCORE
    read = VLLM_SCORE.parse(body)
    assert (read.pairs, read.model, read.ignored) == (pairs, "m", ())


def test_both_sides_may_be_objects():
    read = VLLM_SCORE.parse({"queries": [{"text": "q"}], "documents": ["d", {"text": "e", "id": 1}]})
    assert read.pairs == [("q", "d"), ("q", "e")]


@pytest.mark.parametrize(("left", "right"), [(["q", "r"], ["d"]), (["q", "r"], ["d", "e", "f"])])
def test_sides_that_do_not_fit_are_400(left, right):
    with pytest.raises(RequestError) as caught:
        VLLM_SCORE.parse({"text_1": left, "text_2": right})
    assert (caught.value.field, caught.value.status) == ("text_1", 400)


@pytest.mark.parametrize("body", [{"queries": ["q"]}, {"text_1": ["q"], "data_2": ["d"]}, {}])
def test_a_missing_side_is_422(body):
    with pytest.raises(RequestError) as caught:
        VLLM_SCORE.parse(body)
    assert caught.value.status == 422


def test_a_reply_keeps_the_order_of_the_input():
    assert VLLM_SCORE.reply(RerankRequest.of(QUERY, TEXTS, top_n=1), ANSWER) == {
        "id": "a1",
        "object": "list",
        "created": 5,
        "model": "tiny",
        "data": [
            {"index": 0, "object": "score", "score": 0.75},
            {"index": 1, "object": "score", "score": 0.125},
            {"index": 2, "object": "score", "score": 0.5},
        ],
        "usage": USAGE,
    }


def test_a_question_pairs_each_text_or_one_with_all():
    assert VLLM_SCORE.ask(RerankRequest.of(QUERY, TEXTS)) == {"queries": [QUERY], "documents": TEXTS}
