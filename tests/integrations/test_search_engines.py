"""The code of docs/search-engines.md: the official clients, with replies in the shape that the engines document.

No engine runs here. The replies are written by hand, after the examples of replies in the specification of
Elasticsearch 9, the documentation of OpenSearch 3 and the models of the client of Qdrant 1.20; the scores are made up.
"""

import ast
import contextlib
import json
import math
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pages import blocks
from plackett import CrossEncoder
from plackett.errors import InputError
from serving_app import encoder, serving

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::ResourceWarning")]  # pages do not close clients

PAGE = Path(__file__).parents[2] / "docs" / "search-engines.md"
QUERY = "calories in an egg"
NOTES = {
    "h7": {"title": "Hens", "body": "A hen lays an egg.", "url": "/hens"},
    "e1": {"title": "Eggs", "body": "An egg has 72 calories.", "url": "/eggs"},
    "t3": {"title": None, "body": "Tea has no calories.", "url": "/tea"},
}


def found(scores):
    """The reply of a search: `scores` of notes, best first."""
    hits = [{"_index": "notes", "_id": id, "_score": score, "_source": NOTES[id]} for id, score in scores.items()]
    return {
        "took": 5,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {
            "total": {"value": len(hits), "relation": "eq"},
            "max_score": max(scores.values(), default=None),
            "hits": hits,
        },
    }


JSON = {"Content-Type": "application/json; charset=UTF-8"}
ELASTIC = {
    "Content-Type": "application/vnd.elasticsearch+json;compatible-with=9",
    "X-Elastic-Product": "Elasticsearch",  # without it, the client refuses the reply
}
BM25 = {"h7": 1.38, "e1": 0.87, "t3": 0.29}


@contextlib.contextmanager
def engine(replies, **headers):
    """A server that returns `replies[method and path]`, or what that makes of the body: (address, requests)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            place = f"{self.command} {self.path.partition('?')[0]}"
            asked.append((place, body))
            reply = replies[place]
            data = json.dumps(reply(body) if callable(reply) else reply).encode()
            self.send_response(200)
            for name, value in (JSON | headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def elasticsearch(replies):
    return engine(replies, **ELASTIC)


def section(title):
    """The blocks of Python of a section."""
    [text] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block.text for block in blocks(text) if block.language == "python"]


def run(code, **names):
    exec(compile(code, "page", "exec"), names)
    return names


ENGINES = {"Elasticsearch": elasticsearch, "OpenSearch": engine}


@pytest.mark.parametrize("name", ENGINES)
def test_hits_are_reranked_with_their_ids_and_fields(name, capsys):
    with ENGINES[name]({"POST /notes/_search": found(BM25)}) as (address, asked):
        run(section(name)[0].replace("http://localhost:9200", address))
    assert asked == [("POST /notes/_search", {"query": {"match": {"body": QUERY}}, "size": 100})]
    texts = [" ".join(filter(None, (note["title"], note["body"]))) for note in NOTES.values()]
    ids, expected = list(NOTES), CrossEncoder().rank(QUERY, texts)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [ids[item["corpus_id"]] for item in expected] != ids
    assert [float(line[1]) for line in lines] == pytest.approx([item["score"] for item in expected], abs=1e-6)
    assert [(float(bm25), title) for _, _, bm25, title in lines] == [
        (BM25[line[0]], str(NOTES[line[0]]["title"])) for line in lines
    ]


@pytest.mark.parametrize("name", ENGINES)
def test_a_search_without_hits_prints_nothing(name, capsys):
    with ENGINES[name]({"POST /notes/_search": found({})}) as (address, _):
        run(section(name)[0].replace("http://localhost:9200", address))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", [{"title": "Eggs"}, {"title": "Eggs", "body": 72}])
def test_a_hit_without_the_text_is_named(monkeypatch, source):
    monkeypatch.setitem(NOTES, "e1", source)
    with elasticsearch({"POST /notes/_search": found(BM25)}) as (address, _), pytest.raises(InputError) as error:
        run(section("Elasticsearch")[0].replace("http://localhost:9200", address))
    assert "document 1" in str(error.value)
    assert "body" in str(error.value)


class Reranking:
    """What Elasticsearch documents of a `custom` endpoint and of its retriever, with Plackett's server for one."""

    def __init__(self, server):
        self.server = server
        self.settings = {}

    def define(self, body):
        assert body["service"] == "custom"
        self.settings = body["service_settings"]
        return {"inference_id": "plackett", "task_type": "rerank", **body}

    def search(self, body):
        reranker = body["retriever"]["text_similarity_reranker"]
        ids = list(BM25)[: reranker["rank_window_size"]]
        texts = [NOTES[id][reranker["field"]] for id in ids]
        secrets = self.settings["secret_parameters"]
        values = {"query": json.dumps(reranker["inference_text"]), "input": json.dumps(texts)}
        reply = self.server.post(
            self.settings["url"].removeprefix("http://plackett:8000"),
            content=filled(self.settings["request"], values),
            headers={name: filled(value, secrets) for name, value in self.settings["headers"].items()},
        )
        assert reply.status_code == 200, reply.text
        parser = self.settings["response"]["json_parser"]
        order, scores = (read(reply.json(), parser[name]) for name in ("reranked_index", "relevance_score"))
        shown = [max(score, 0) + min(math.exp(score), 1) for score in scores]  # so that no score is negative
        return found({ids[index]: score for index, score in zip(order, shown, strict=True)})


def filled(template, values):
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], template)


def read(reply, path):
    """The values at `$.list[*].name`."""
    items, name = re.fullmatch(r"\$\.(\w+)\[\*\]\.(\w+)", path).groups()
    return [item[name] for item in reply[items]]


def test_elasticsearch_reranks_with_the_server(bert, capsys):
    _, define, search = section("Elasticsearch")
    with serving(bert, api_key="the key in key.txt") as server:
        reranking = Reranking(server)
        replies = {"PUT /_inference/rerank/plackett": reranking.define, "POST /notes/_search": reranking.search}
        with elasticsearch(replies) as (address, asked):
            from elasticsearch import Elasticsearch

            run(define + search, client=Elasticsearch(address), query=QUERY)
    assert [place for place, _ in asked] == list(replies)
    expected = encoder(bert).rank(QUERY, [NOTES[id]["body"] for id in BM25])
    ids, scores = zip(*ast.literal_eval(capsys.readouterr().out), strict=True)
    assert list(ids) == [list(BM25)[item["corpus_id"]] for item in expected]
    assert scores == pytest.approx([1 + item["score"] for item in expected], abs=1e-6)


def test_qdrant_in_memory_reranks_what_shares_a_word(capsys):
    """Qdrant's own local mode, no reply of ours."""
    names = run(section("Qdrant")[0])
    expected = CrossEncoder().rank(QUERY, [names["notes"][1], names["notes"][2]])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(line[0]) for line in lines] == [item["corpus_id"] + 1 for item in expected]
    assert [float(line[1]) for line in lines] == pytest.approx([item["score"] for item in expected], abs=1e-6)


def test_a_server_of_qdrant_answers_the_same_calls(capsys):
    done = {"status": "ok", "time": 0.002}
    points = [
        {"id": 2, "version": 0, "score": 1.9, "payload": {"body": "A hen lays an egg in a nest."}},
        {"id": 1, "version": 0, "score": 1.5, "payload": {"body": "An egg has 72 calories."}},
    ]
    replies = {
        "GET /": {"title": "qdrant - vector search engine", "version": "1.20.0"},
        "PUT /collections/notes": {"result": True, **done},
        "PUT /collections/notes/points": {"result": {"operation_id": 0, "status": "completed"}, **done},
        "POST /collections/notes/points/query": {"result": {"points": points}, **done},
    }
    with engine(replies) as (address, asked):
        run(section("Qdrant")[0].replace(":memory:", address))
    asked = dict(asked)
    assert asked.keys() - {"GET /"} == replies.keys() - {"GET /"}  # a thread of the client asks for the version
    assert asked["POST /collections/notes/points/query"]["limit"] == 100
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]
