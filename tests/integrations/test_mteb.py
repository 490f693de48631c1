"""MTEB: a reranking task on local data, with the figures of `plackett evaluate`."""

import pytest

from plackett import CrossEncoder
from plackett.errors import InputError
from plackett.evaluation import compare
from plackett.records import Collection, Qrel, ScoredDoc
from tiny import TEXTS

pytestmark = pytest.mark.peer

CORPUS = {f"d{number}": text for number, text in enumerate(dict.fromkeys(TEXTS[:60]))}
QUERIES = {f"q{number}": text[:40] for number, text in enumerate(TEXTS[100:106])}


@pytest.fixture(scope="module")
def task():
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="LocalReranking",
            description="Python's documentation.",
            dataset={"path": "local/reranking", "revision": "0"},
            type="Reranking",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, *_, **__):
            self.dataset = {
                "default": {
                    "test": {
                        "corpus": Dataset.from_list(
                            [{"id": i, "text": text, "title": ""} for i, text in CORPUS.items()]
                        ),
                        "queries": Dataset.from_list([{"id": i, "text": text} for i, text in QUERIES.items()]),
                        "relevant_docs": {qrel.query_id: {qrel.doc_id: 1} for qrel in qrels()},
                        "top_ranked": {
                            query: [item.doc_id for item in run() if item.query_id == query] for query in QUERIES
                        },
                    }
                }
            }
            self.data_loaded = True

    return Local()


def qrels():
    return [Qrel(query, f"d{number * 3}", 1) for number, query in enumerate(QUERIES)]


def run():
    return [
        ScoredDoc(query, f"d{doc}", -float(doc))
        for number, query in enumerate(QUERIES)
        for doc in range(number, number + 30)
    ]


def test_the_figures_are_those_of_plackett(task, bert, tmp_path):
    import mteb

    from plackett.integrations.mteb import PlackettCrossEncoder

    model = PlackettCrossEncoder(str(bert))
    assert isinstance(model, mteb.CrossEncoderProtocol)
    found = mteb.evaluate(model, [task], cache=None, co2_tracker=False, show_progress_bar=False)
    [scores] = found.task_results[0].scores["test"]
    measured = compare(CrossEncoder(bert), Collection("local", QUERIES, CORPUS, qrels(), run()), depth=30)
    assert scores["ndcg_at_10"] == pytest.approx(measured.measures["nDCG@10"].reranked, abs=1e-5)


def test_a_task_without_texts_is_refused(bert):
    from plackett.integrations.mteb import PlackettCrossEncoder

    with pytest.raises(InputError) as error:
        PlackettCrossEncoder(str(bert)).predict([{"image": ["a picture"]}], [{"text": ["a text"]}])
    assert "image" in str(error.value)
