"""The card is a pure function of its facts, and stays valid Markdown and front matter whatever they hold."""

import re
from dataclasses import replace

import huggingface_hub
import pytest

from plackett.card import CardFacts, Result, Usage, render

FACTS = CardFacts(
    name="mine",
    base="org/base",
    data="my lists",
    lists=12,
    loss={"name": "p_list_mle", "weight": "reciprocal_log"},
    hyperparameters={"learning_rate": 2e-5, "train": ("a|b.jsonl",)},
    log=({"step": 10, "loss": 1.25},),
    max_length=96,
    versions={"plackett": "0.1.0"},
    results=(Result("held out", 43, 100, {"nDCG@10": (0.5058, 0.7012), "AP": (0.4, 0.35)}),),
    usage=Usage("how?", ["so", "or 'so'"], [0.9, 0.25]),
)


def test_every_fact_is_shown_and_nothing_else_changes_the_card():
    text = render(FACTS)
    assert text == render(FACTS)
    for shown in (
        "# mine",
        "org/base",
        "my lists",
        "12 lists",
        "`p_list_mle`",
        "`weight=reciprocal_log`",
    ):
        assert shown in text
    assert "| nDCG@10 | 0.5058 | 0.7012 | +0.1954 |" in text
    assert "| AP | 0.4000 | 0.3500 | -0.0500 |" in text
    assert "| learning_rate | 2e-05 |" in text
    assert "| 10 | 1.2500 |" in text


def test_the_hubs_own_parser_reads_the_front_matter():
    data = huggingface_hub.ModelCard(render(FACTS)).data
    assert data.pipeline_tag == "text-ranking"
    assert {(result.metric_type, result.metric_value) for result in data.eval_results} == {
        ("nDCG@10", 0.7012),
        ("AP", 0.35),
    }


def test_the_usage_is_code_that_runs():
    [code] = re.findall(r"```python\n(.*?)```", render(FACTS), re.DOTALL)

    class Model:
        def __init__(self, folder): ...

        def predict(self, pairs):
            assert pairs == [("how?", "so"), ("how?", "or 'so'")]

        def rank(self, query, documents):
            return []

    exec(compile(code.replace("from plackett import CrossEncoder", ""), "card", "exec"), {"CrossEncoder": Model})


@pytest.mark.parametrize("text", ["a|b", "```", "<b>", "line\nbreak", "日本語", "'\"\\", "---", "{{ facts }}"])
def test_odd_text_breaks_neither_tables_nor_front_matter(text):
    facts = replace(FACTS, name="odd", data=text, hyperparameters={"odd": text}, usage=Usage(text, [text], [0.5]))
    card = render(facts)
    assert huggingface_hub.ModelCard(card).data.eval_results[0].dataset_name == "held out"
    [row] = [line for line in card.splitlines() if line.startswith("| odd |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_a_model_that_was_never_evaluated_has_a_card():
    card = render(replace(FACTS, results=(), usage=None, log=()))
    assert "was not evaluated" in card
    assert huggingface_hub.ModelCard(card).data.library_name == "sentence-transformers"
