"""Answers of search engines, in the forms that their documentation shows."""

import gzip
import json

import pytest

from plackett.data import read_documents, read_lists, read_records, read_texts

HITS = [
    {"_index": "pages", "_id": "7", "_score": 2.3, "_source": {"title": "Eggs", "text": "72 calories"}},
    {"_index": "pages", "_id": "8", "_score": 1.9, "_source": {"text": "hens lay"}, "highlight": {"text": ["hens"]}},
]
ROWS = [{"id": "7", "title": "Eggs", "text": "72 calories"}, {"id": "8", "text": "hens lay"}]
ANSWERS = {
    "elasticsearch": {"took": 5, "timed_out": False, "hits": {"total": {"value": 2}, "max_score": 2.3, "hits": HITS}},
    "solr": {"responseHeader": {"status": 0}, "response": {"numFound": 2, "start": 0, "docs": ROWS}},
    "meilisearch": {"hits": ROWS, "query": "eggs", "processingTimeMs": 1, "limit": 20},
    "typesense": {"found": 2, "hits": [{"document": row, "text_match": 1} for row in ROWS], "page": 1},
}
TEXTS = ["Eggs 72 calories", "hens lay"]


@pytest.mark.parametrize("engine", ANSWERS)
@pytest.mark.parametrize("name", ["answer.json", "answer.jsonl", "answer", "answer.json.gz"])
def test_an_answer_is_its_hits(tmp_path, engine, name):
    content = json.dumps(ANSWERS[engine], indent=None if name.endswith(".jsonl") else 2).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read_documents(path) == TEXTS
    if name != "answer":  # a file of texts without a suffix is JSON lines
        assert list(read_texts(path)) == ["7", "8"]


def test_hits_alone_are_read_as_well(tmp_path):
    path = tmp_path / "hits.jsonl"
    path.write_text("".join(json.dumps(hit) + "\n" for hit in HITS))
    assert read_documents(path) == TEXTS
    path = tmp_path / "hits.json"
    path.write_text(json.dumps(HITS))
    assert [record for _, record in read_records(path)] == [{"_id": hit["_id"], **hit["_source"]} for hit in HITS]


def test_columns_name_fields_of_the_hits(tmp_path):
    path = tmp_path / "answer.json"
    hits = [{"_id": "7", "_source": {"page": {"body": "hens lay"}}}]
    path.write_text(json.dumps({"hits": {"hits": hits}}))
    assert read_documents(path, columns={"text": "page.body"}) == ["hens lay"]


def test_an_answer_without_hits_holds_no_documents(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"hits": {"total": {"value": 0}, "hits": []}}))
    assert read_documents(path) == []


def test_records_with_such_a_key_stay_what_they_are(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "hens lay", "hits": [{"text": "no"}]}) + "\n")
    assert read_documents(path) == ["hens lay"]
    path.write_text(json.dumps({"query": "q", "docs": ["a", "b"], "labels": [1, 0], "hits": [1]}) + "\n")
    [item] = read_lists(path)
    assert list(item.documents) == ["a", "b"]
