"""The card is a pure function of its facts, and stays valid Markdown and front matter whatever they hold."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import huggingface_hub
import pytest
from markdown_it import MarkdownIt

from card_facts import BARE, FACTS, HELD_OUT, MODEL, MS_MARCO, REFERENCE, REFERENCE_TABLE, REVISION, TRAINING
from plackett.data.nanobeir import NAMES
from plackett.facts import CalibrationFacts, EngineFacts, Sample, Usage
from plackett.losses import LOSSES
from plackett.publishing.card import cell, render
from plackett.publishing.citations import LOSS_PAPERS, NAMED_PAPERS, entries, papers
from plackett.publishing.storage import dump_facts, read_facts


def section(card, heading):
    """The text under a heading, to the next one of its level."""
    level = heading.partition(" ")[0]
    return re.split(rf"^{level} ", card.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_references_numbers_come_out_in_the_references_tables():
    def bare(line):
        return re.sub(r"[\s:-]", "", line.replace("(-", "(~"))

    evaluation = section(render(FACTS), "## Evaluation")
    rows = [bare(line) for line in table_rows(evaluation)[:5]]
    assert rows == [bare(line) for line in REFERENCE_TABLE.splitlines()]
    assert '{"at_k": 10, "always_rerank_positives": true}' in evaluation


def test_the_references_data_loss_and_settings_are_shown():
    card = render(FACTS)
    data = section(card, "### Training Dataset")
    for shown in (
        "microsoft/ms_marco",
        REVISION,
        "78,704 lists",
        "first 1,000 lists",
        "<li>mean: 33.9 characters</li>",
    ):
        assert shown in data
    assert len([row for row in table_rows(data) if "what is" in row]) == 3
    assert "1,000 lists" in section(card, "### Evaluation Dataset")
    loss = section(card, "### Loss")
    assert json.loads(re.search(r"```json\n(.*?)```", loss, re.DOTALL)[1]) == TRAINING.loss_parameters
    settings = section(card, "### Training Hyperparameters")
    changed, all_of_them = settings.split("<details>")
    assert "- `learning_rate`: 2e-05" in changed
    assert "weight&#95;decay" not in changed
    assert "`weight_decay`" not in changed
    assert "- `weight_decay`: 0.0" in all_of_them


def test_the_chosen_step_is_the_bold_row_of_the_log():
    rows = table_rows(section(render(FACTS), "### Training Logs"))
    assert rows[0] == "| epoch | step | training loss | learning rate | mean_nDCG@10 |"
    assert [row for row in rows if "**" in row] == [
        "| **0.1000** | **500** | **11.2500** | **2.00e-05** | **0.4636** |"
    ]
    assert "| 0.0000 | 0 | - | - | 0.0300 |" in rows
    assert len(rows) == 2 + 4, "a row a step"


def test_a_long_log_is_folded():
    log = tuple({"step": step, "epoch": step / 200, "loss": 1.0, "learning_rate": 1e-5} for step in range(1, 201))
    card = render(replace(FACTS, training=replace(TRAINING, log=log)))
    assert "<details><summary>200 rows</summary>" in card
    assert card.count("<details>") == card.count("</details>") == 2


def test_the_sections_stand_in_the_order_of_sentence_transformers():
    facts = replace(FACTS, engines=(EngineFacts("onnx", "onnx/model.onnx", 90_000_000, "2 cores"),), calibration=PLATT)
    headings = re.findall(r"^##+ (.*)$", render(facts), re.MULTILINE)
    assert headings == [
        *("Model Details", "Usage", "Sentence Transformers", "Transformers", "Plackett", "Evaluation"),
        *("Training Details", "Training Dataset", "microsoft/ms_marco", "Evaluation Dataset", "Loss"),
        *("Training Hyperparameters", "Training Logs", "Speed and Size", "Calibration", "Limits of Use"),
        *("Framework Versions", "Citation"),
    ]


PLATT = CalibrationFacts(
    method="platt",
    collection="dev",
    pairs=1200,
    parameters={"slope": 0.7, "intercept": -1.5},
    measures={"ECE": (0.21, 0.03)},
    threshold=0.35,
    threshold_rule="a precision of 0.9",
)


def test_a_collection_at_two_depths_is_two_that_can_be_told_apart():
    evaluations = (HELD_OUT, replace(HELD_OUT, depth=10), replace(HELD_OUT, collection="other"))
    card = render(replace(FACTS, evaluations=evaluations))
    names = ["held out_R50", "held out_R10", "other"]
    assert table_rows(section(card, "## Evaluation"))[0] == f"| | {' | '.join(names)} |"
    results = front_matter(card).eval_results
    assert [item.dataset_type for item in results] == [name for name in names for _ in HELD_OUT.measures]
    assert len({(item.unique_identifier, item.metric_type) for item in results}) == 6


def test_intervals_and_marks_of_significance():
    card = render(replace(FACTS, evaluations=(HELD_OUT,)))
    assert "| **nDCG@10** | 0.5058 | 0.7012 | +0.1954\\* | +0.1000 to +0.3000 | 0.0010 |" in card
    assert "| AP | 0.4000 | 0.3500 | -0.0500 | -0.1200 to +0.0200 | 0.2100 |" in card
    assert "statistically significant" in card
    assert "statistically significant" not in render(FACTS), "nothing was tested"


def test_limits_are_those_that_the_numbers_show():
    worse = replace(HELD_OUT, primary="AP")
    limits = section(render(replace(FACTS, evaluations=(worse,))), "## Limits of Use")
    assert "On held out, its AP is lower than the first stage's." in limits
    assert "may be due to chance (p = 0.21)" in limits
    assert "512 tokens" in limits
    assert "not been measured" in section(render(BARE), "## Limits of Use")


def test_engines_and_calibration_are_shown_when_they_were_measured():
    engine = EngineFacts(
        engine="onnx",
        precision="int8",
        file="onnx/model_int8.onnx",
        bytes=23_456_789,
        hardware="2 cores",
        workload="100 documents",
        pairs_per_second=1234.56,
        milliseconds=81.04,
        max_difference=0.0123,
        measures={"nDCG@10": (0.5058, 0.5041)},
    )
    card = render(replace(FACTS, engines=(engine,), calibration=PLATT))
    assert (
        "| onnx | int8 | onnx/model_int8.onnx | 23.5 MB | 1,234.6 | 81.0 | 1.2e-02 | nDCG@10 0.5058, 0.5041 | "
        "2 cores, 100 documents |"
    ) in card
    calibration = section(card, "## Calibration")
    for shown in (
        "`platt`",
        "1,200 pairs from dev",
        '"slope": 0.7',
        "| ECE | 0.2100 | 0.0300 |",
        "of 0.35, chosen for",
    ):
        assert shown in calibration


def front_matter(card: str) -> Any:
    """What the Hub's own parser reads of a card."""
    return huggingface_hub.ModelCard(card).data


def test_the_hubs_own_parser_reads_the_front_matter():
    data = front_matter(render(FACTS))
    assert data.pipeline_tag == "text-ranking"
    assert data.base_model == "microsoft/MiniLM-L12-H384-uncased"
    assert data.datasets == ["microsoft/ms_marco"]
    assert data.metrics == ["map", "mrr@10", "ndcg@10"]
    assert {"dataset_size:78704", "loss:p_list_mle", "generated_from_trainer"} <= set(data.tags)
    found = {(item.dataset_name, item.task_type, item.metric_type): item.metric_value for item in data.eval_results}
    assert found == {
        (name.replace("_", " "), f"cross-encoder-{'nano-beir' if 'mean' in name else 'reranking'}", measure): value
        for name, measures in REFERENCE.items()
        for measure, (value, _) in measures.items()
    }


def test_the_same_facts_give_the_same_card_also_through_their_file(tmp_path):
    facts = replace(FACTS, calibration=PLATT)
    (tmp_path / "plackett.json").write_text(dump_facts(facts))
    assert render(read_facts(tmp_path)) == render(facts) == render(facts)


def test_the_usage_is_code_that_runs_and_says_what_it_prints(capsys):
    blocks = re.findall(r"```python\n(.*?)```", render(FACTS), re.DOTALL)
    assert len(blocks) == 4

    class Model:
        def __init__(self, folder):
            assert folder == "path/to/reranker-MiniLM-L12"

        def rank(self, query, documents):
            assert (query, documents) == ("how?", ["so", "or 'so'", "no"])
            return [{"corpus_id": index, "score": score} for index, score in ((1, 0.9), (0, 0.25), (2, 0.1))]

    names = {"CrossEncoder": Model}
    exec(blocks[0], names)
    exec(blocks[3].replace("from plackett import CrossEncoder", ""), names)
    assert capsys.readouterr().out.splitlines() == [
        line[2:] for line in blocks[3].splitlines() if line.startswith("# ")
    ]


@pytest.mark.parametrize("usage", [FACTS.usage, None])
@pytest.mark.parametrize(("engine", "install"), [("onnx", "plackett"), ("openvino", "'plackett[openvino]'")])
def test_of_a_graph_without_weights_only_code_that_can_run_it_is_shown(usage, engine, install):
    made = EngineFacts(engine=engine, file="a/graph", bytes=1, hardware="x")
    card = render(replace(FACTS, model=replace(MODEL, weights=False), engines=(made,), usage=usage))
    code = "\n".join(re.findall(r"```python\n(.*?)```", card, re.DOTALL))
    assert f"CrossEncoder('path/to/reranker-MiniLM-L12', engine=\"{engine}\")" in code
    assert "transformers" not in code
    assert f"pip install {install}\n" in card
    assert "\nlibrary_name: plackett\n" in card
    assert "\n- sentence-transformers\n" not in card


ODD = [
    "a|b",
    "``` code",
    "<b>bold</b><script>alert(1)</script><!--",
    "line\nbreak\r\nand\ttab",
    "日本語 ﷽ עברית 👩‍👩‍👧",
    "'\"\\",
    "---",
    "{{ facts }}{% for %}",
    "[link](https://example.org) ![](x.png)",
    "__init__ *bold* ~~gone~~ $x$",
    "&lt;b&gt; \x00 \x1b[31m",
    "# heading",
    "1. item",
    "- item",
    "===",
    "</details></code>|",
    "| a | b |",
]


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def page(card):
    return Tags(
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(card.split("---\n", 2)[2])
    )


def with_odd_text(text):
    sample = Sample(text, (text, "b"), (1.0, 0.0), 9)
    data = replace(MS_MARCO, name=text, source="", samples=(sample,))
    training = replace(TRAINING, data=(data,), arguments={"odd": text}, changed=("odd",), settings={}, hardware=text)
    return replace(
        FACTS,
        model=replace(MODEL, name=text, base=text, base_revision="", license=text),
        training=training,
        usage=Usage(text, (text,), (0.5,), (0.0,)),
        evaluations=(replace(HELD_OUT, collection=text),),
        engines=(EngineFacts(text, text, 1, text),),
    )


@pytest.mark.slow
@pytest.mark.parametrize("text", ODD)
def test_odd_text_breaks_neither_page_nor_front_matter(text):
    card = render(with_odd_text(text))
    assert front_matter(card).eval_results[0].dataset_type == text
    odd, plain = page(card), page(render(with_odd_text("plain text")))
    assert odd.tags == plain.tags
    cells = next(row for row in card.splitlines() if row.startswith("| <code>"))
    shown = " ".join(text.replace("\x00", "").replace("\x1b", "").split())
    assert shown in " ".join("".join(odd.text).replace("\ufffd", "").split())
    assert len(re.findall(r"(?<!\\)\|", cells)) == 4


@pytest.mark.parametrize("text", ODD)
def test_a_cell_is_one_line_that_shows_its_text(text):
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(f"x {cell(text)} x")
    assert Tags(shown).tags == ["p"]
    assert "".join(Tags(shown).text).strip() == re.sub(r"[\x00\x1b]", "\ufffd", f"x {' '.join(text.split())} x")


def test_names_stay_legible_in_a_terminal():
    assert cell("NanoMSMARCO_R100 nDCG@10 python-documentation") == "NanoMSMARCO_R100 nDCG@10 python-documentation"


def test_a_model_of_which_nothing_is_known_has_a_card():
    card = render(BARE)
    assert "has not been evaluated" in card
    assert "was not recorded" in card
    data = front_matter(card)
    assert data.library_name == "sentence-transformers"
    assert data.eval_results is None
    assert data.base_model is None


def test_a_dataset_without_a_name_and_a_stream():
    data = replace(MS_MARCO, name="", source="", size=None)
    card = render(replace(FACTS, training=replace(TRAINING, data=(data,), held_out=None)))
    assert "unknown (a stream)" in card
    assert front_matter(card).datasets is None
    assert not any(tag.startswith("dataset_size") for tag in front_matter(card).tags)
    assert "No lists were held out" in card


def test_papers_are_cited_by_their_keys():
    assert set(LOSS_PAPERS) <= set(LOSSES)
    assert set(LOSSES) - set(LOSS_PAPERS) == {"mse"}, "which has no paper"
    assert {*LOSS_PAPERS.values(), *NAMED_PAPERS.values()} == set(entries())
    citation = section(render(FACTS), "## Citation")
    keys = re.findall(r"^@\w+\{(\w+),", citation, re.MULTILINE)
    assert keys == ["lan2014position", "wang2020minilm", "bajaj2016msmarco", "thakur2021beir"]
    for entry in entries().values():
        assert entry.count("{") == entry.count("}")
        assert re.search(r"^  author = \{[^,]+, [^,]+.*\},$", entry, re.MULTILINE)
        assert re.search(r"^  year = \{(19|20)\d\d\},$", entry, re.MULTILINE)
        assert re.search(r"^  (pages|url|eprint) = ", entry, re.MULTILINE), "where it can be found"


@pytest.mark.parametrize(
    ("base", "key"),
    [
        ("microsoft/MiniLM-L12-H384-uncased", "wang2020minilm"),
        ("sentence-transformers/all-MiniLM-L6-v2", "wang2020minilm"),
        ("google-bert/bert-base-uncased", "devlin2019bert"),
        ("FacebookAI/roberta-large", "liu2019roberta"),
        ("FacebookAI/xlm-roberta-base", "conneau2020unsupervised"),
        ("google/electra-small-discriminator", "clark2020electra"),
        ("distilbert/distilbert-base-uncased", "sanh2019distilbert"),
        ("microsoft/mdeberta-v3-base", "he2023debertav3"),
        ("answerdotai/ModernBERT-base", "warner2024modernbert"),
    ],
)
def test_a_base_is_cited_by_its_own_paper_only(base, key):
    assert [re.match(r"@\w+\{(\w+)", entry)[1] for entry in papers("", [base])] == [key]


@pytest.mark.parametrize("name", [f"Nano{name}" for name in NAMES])
def test_every_collection_of_nanobeir_cites_beir(name):
    assert "thakur2021beir" in "".join(papers("", [name, f"{name}_R100"]))
    assert papers("", ["nanotechnology.jsonl", "piano-questions.jsonl", "minimal.jsonl"]) == []
