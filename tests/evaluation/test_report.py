"""What is shown and written is what was measured."""

import csv
import html
import io
import json
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from plackett.evaluation.comparison import Results, compare_run, mean_of, with_holm
from plackett.evaluation.report import REPORTS, csv_text, figures, markdown, table
from plackett.records import Collection, Qrel, ScoredDoc
from plackett.retrieval.sources import Sources
from plackett.workflows.evaluate import evaluate
from plackett.workflows.outputs import Output, Outputs

MEASURES = ("nDCG@10", "AP")


@pytest.fixture
def collection():
    qrels = [Qrel(f"q{i}", f"d{i % 3}", 1 + i % 2) for i in range(6)] + [Qrel("empty", "d0", 1)]
    run = [ScoredDoc(f"q{i}", f"d{d}", -float(d)) for i in range(6) for d in range(4)] + [ScoredDoc("other", "d", 1.0)]
    return Collection("small", {}, {}, qrels, run)


@pytest.fixture
def comparisons(collection):
    """Two systems at two depths: one that reverses every list, one that changes nothing."""
    runs = {"reversed": [scored._replace(score=-scored.score) for scored in collection.run], "same": collection.run}
    return [
        item
        for depth in (2, 4)
        for item in with_holm(
            [compare_run(collection, run, depth=depth, measures=MEASURES, system=name) for name, run in runs.items()]
        )
    ]


def test_the_table_shows_every_figure(comparisons):
    one = comparisons[0]
    lines = table(one).splitlines()
    assert lines[0] == "small: 7 queries, first 2 candidates reranked"
    for line, measure in zip(lines[2:4], MEASURES, strict=True):
        values = one.measures[measure]
        found = values.significance
        assert line.split() == [
            measure,
            f"{values.first_stage:.4f}",
            f"{values.reranked:.4f}",
            f"{values.reranked - values.first_stage:+.4f}",
            f"{found.ci95[0]:+.4f}…{found.ci95[1]:+.4f}",
            f"{found.p_value:.4f}",
            f"{found.effect_size:+.2f}",
            *map(str, (found.helped, found.hurt, found.unchanged)),
            f"{values.perfect_order:.4f}",
        ]
    assert f"{one.recall:.4f} at 2" in lines[4]
    assert lines[5:] == [
        "1 judged query has no candidates and scores 0.",
        "1 query of the run has no judgements and is ignored.",
    ]


def test_several_systems_and_depths_have_columns_of_their_own(comparisons):
    lines = table(*comparisons).splitlines()
    assert lines[1].split()[:2] == ["system", "depth"]
    assert "p (Holm)" in lines[1]
    rows = [line.split()[:3] for line in lines[2:10]]
    assert rows == [[m, s, d] for m in MEASURES for d in ("2", "4") for s in ("reversed", "same")]
    assert len({line.index("…") for line in lines[2:10]}) == 1


def test_several_collections_have_blocks_of_their_own(comparisons):
    other = replace(comparisons[0], collection="other")
    blocks = table(comparisons[0], other, mean_of([comparisons[0], other])).split("\n\n")
    assert [block.partition(":")[0] for block in blocks] == ["small", "other", "mean"]


def test_the_json_has_its_documented_shape(comparisons):
    result = json.loads(json.dumps(figures(comparisons, per_query=True), allow_nan=False))
    assert list(result) == ["system", "collections", "systems"]
    assert list(result["systems"]) == ["reversed", "same"]
    assert result["collections"] == result["systems"]["reversed"]["collections"]
    [small] = result["collections"].values()
    assert (small["queries"], small["depth"], list(small["depths"])) == (7, 4, ["2", "4"])
    deepest = comparisons[2]
    for measure in MEASURES:
        expected = deepest.measures[measure]
        found = expected.significance
        assert small["measures"][measure] == {
            "first_stage": expected.first_stage,
            "reranked": expected.reranked,
            "difference": expected.reranked - expected.first_stage,
            "ci95": list(found.ci95),
            "p_value": found.p_value,
            "p_holm": found.p_holm,
            "effect_size": found.effect_size,
            "helped": found.helped,
            "hurt": found.hurt,
            "unchanged": found.unchanged,
            "perfect_order": expected.perfect_order,
        }
        values = small["per_query"][measure].values()
        assert sum(value["reranked"] for value in values) / 7 == pytest.approx(expected.reranked)
    one = figures(comparisons[:1])
    assert list(one) == ["system", "collections"]
    assert {"depths", "per_query"}.isdisjoint(one["collections"]["small"])


def test_an_infinite_effect_is_null(collection):
    first = replace(collection, qrels=[Qrel(f"q{i}", "d1", 1) for i in range(6)])
    run = [scored._replace(score=float(scored.doc_id == "d1")) for scored in first.run]
    [small] = figures([compare_run(first, run, depth=4)])["collections"].values()
    assert small["measures"]["RR@10"]["effect_size"] is None


def test_the_csv_has_a_line_for_each_figure(comparisons):
    rows = list(csv.DictReader(io.StringIO(csv_text(Results(comparisons, [], {})))))
    assert len(rows) == 8
    for row in rows:
        [item] = [c for c in comparisons if (c.system, str(c.depth)) == (row["system"], row["depth"])]
        expected = item.measures[row["measure"]]
        assert float(row["reranked"]) == expected.reranked
        assert (float(row["ci95_low"]), float(row["ci95_high"])) == expected.significance.ci95
        assert float(row["recall_ceiling"]) == item.recall


def test_the_markdown_has_the_tables_cells(comparisons):
    named = [replace(item, collection="a|b_c") for item in comparisons]
    rendered = MarkdownIt("commonmark").enable("table").render(markdown(Results(named, [], {})))
    rows = re.findall("<tr>(.*?)</tr>", rendered, re.DOTALL)
    cells = [[html.unescape(cell) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    plain = [re.split(r"\s{2,}", line) for line in table(*named).splitlines()[1:10]]
    assert [row for row in cells[1:]] == plain[1:]
    assert [cell for cell in cells[0] if cell] == [cell for cell in plain[0] if cell]
    assert "<h2>a|b_c</h2>" in rendered
    assert "scores 0." in rendered


def test_a_new_kind_of_report_is_a_line_of_the_table(comparisons, collection, monkeypatch, tmp_path):
    """An entry is all that `Outputs` and the command need: its suffix is known, and its text is written."""
    monkeypatch.setitem(REPORTS, ".txt", lambda results: table(*results.comparisons))
    (tmp_path / "qrels.txt").write_text("".join(f"{q} 0 {d} {grade}\n" for q, d, grade in collection.qrels))
    (tmp_path / "run.trec").write_text("".join(f"{q} Q0 {d} 1 {score} x\n" for q, d, score in collection.run))
    sources = Sources(run=tmp_path / "run.trec", qrels=tmp_path / "qrels.txt")
    outputs = Outputs(files=[Output(tmp_path / "report.txt", ".txt")])
    found = evaluate([str(tmp_path / "run.trec")], sources, depths=[4], outputs=outputs)
    assert found.problems == ()
    assert (tmp_path / "report.txt").read_text() == table(*found.comparisons)
