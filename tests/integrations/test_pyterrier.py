"""PyTerrier: its own checks of a transformer, and an experiment, both without Java."""

import warnings

import numpy as np
import pytest

from plackett import CrossEncoder, InputError
from tiny import DOCUMENTS

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # PyTerrier's, of pandas 3.1
    pytest.mark.filterwarnings("ignore:The copy keyword"),
]

QUERIES = {"q1": "sort a list of words", "q2": "options of a command line"}


@pytest.fixture(scope="module")
def pt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import pyterrier
    return pyterrier


@pytest.fixture(scope="module")
def reranker(pt, bert):
    from plackett.integrations.pyterrier import PlackettReranker

    return PlackettReranker(CrossEncoder(bert))


@pytest.fixture
def results():
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "qid": qid,
                "query": query,
                "docno": f"d{number}",
                "text": text,
                "score": 1.0,
                "rank": number,
                "other": qid,
            }
            for qid, query in QUERIES.items()
            for number, text in enumerate(DOCUMENTS)
        ]
    )


def test_the_checks_of_pyterrier_pass(pt, reranker, monkeypatch):
    import unittest

    from pyterrier.testing import transformer_test_class

    monkeypatch.setenv("PT_TEST_TRANSFORMER_REPORTS", "0")
    monkeypatch.setattr(pt.documentation, "url_for_class", lambda *_, **__: None)  # it would ask the network
    case = transformer_test_class(lambda: reranker)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun > 0
    assert result.errors + result.failures == []
    assert {"qid", "query", "docno", "text"} in [set(names) for names in pt.inspect.transformer_inputs(reranker)]


def test_scores_and_ranks_are_those_of_the_model(pt, reranker, results):
    found = reranker(results)
    assert list(found.columns) == [*results.columns.drop(["rank"]), "rank"]
    expected = reranker.model.score(list(zip(results["query"], results["text"], strict=True)))[:, 0]
    np.testing.assert_allclose(found.sort_index()["score"], expected, atol=1e-6)
    for qid, query in QUERIES.items():
        best = found[found.qid == qid].sort_values("rank")["docno"]
        assert list(best) == [f"d{item['corpus_id']}" for item in reranker.model.rank(query, DOCUMENTS)]
    assert len(reranker(results[:0])) == 0


def test_an_experiment_measures_it(pt, reranker, results):
    import pandas as pd

    from plackett.evaluation import evaluate
    from plackett.records import Qrel, ScoredDoc

    qrels = pd.DataFrame([("q1", "d0", 1), ("q2", "d4", 1)], columns=["qid", "docno", "label"])
    topics = pd.DataFrame(QUERIES.items(), columns=["qid", "query"])
    first = pt.Transformer.from_df(results)
    table = pt.Experiment(
        [first, first >> reranker], topics, qrels, ["ndcg_cut_10"], names=["first", "reranked"], plan="tree"
    )
    run = [ScoredDoc(row.qid, row.docno, row.score) for row in reranker(results).itertuples()]
    expected = evaluate(run, [Qrel(*row) for row in qrels.itertuples(index=False)], ["nDCG@10"])
    assert table.set_index("name").loc["reranked", "ndcg_cut_10"] == pytest.approx(expected["nDCG@10"])


def test_columns_that_are_missing_are_named(pt, reranker, results):
    with pytest.raises(KeyError) as error:
        reranker(results.drop(columns="text"))
    assert "text" in str(error.value)


@pytest.mark.parametrize("text", [None, float("nan")])
def test_a_document_without_text_is_named(reranker, results, text):
    results["text"] = results["text"].astype(object)
    results.at[3, "text"] = text
    with pytest.raises(InputError, match="d3"):
        reranker(results)
