"""A small rerank server on this machine that speaks every dialect, and fails on demand."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np

from plackett import CrossEncoder

# Where each kind of server ranks, beside what it answers (`Handler.rank_KIND`).
PATHS = {
    "tei": ["/rerank"],
    "tei-without-info": ["/rerank"],
    "tei-copy": ["/rerank"],
    "cohere-v1": ["/v1/rerank"],
    "cohere-v2": ["/v2/rerank"],
    "jina": ["/v1/rerank"],
    "vllm": ["/rerank", "/v1/rerank", "/v2/rerank"],
    "infinity": ["/rerank"],
    "llama.cpp": ["/rerank", "/reranking", "/v1/rerank", "/v1/reranking"],
}


class Server:
    """What the server is, what it does wrong, and what it was asked.

    `faults` are answered first, one for each question: a status, (status, headers, body), "drop", or ("slow", seconds).
    `spoil` changes the items of an answer. `key` is asked for where it is set.
    """

    def __init__(self, kind: str, score: Callable[[Sequence[tuple[str, str]]], Sequence[float]], most: int) -> None:
        self.kind = kind
        self.score = score
        self.most = most
        self.key: str | None = None
        self.faults: list = []
        self.spoil: Callable[[list[dict]], object] | None = None
        self.asked: list[tuple[str, dict, dict]] = []
        self.connections: set = set()
        self.lock = threading.Lock()
        self.url = ""

    @property
    def sizes(self) -> list[int]:
        """Documents of each question."""
        return [len(body.get("texts") or body["documents"]) for _, body, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tiny", ""
    state: Server

    def do_GET(self) -> None:
        if self.refused():
            return
        if urlsplit(self.path).path == "/info" and self.state.kind == "tei":
            self.json(200, self.info())
        else:
            self.json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return
        with self.state.lock:
            self.state.asked.append((self.path, body, dict(self.headers)))
            self.state.connections.add(self.client_address)
            fault = self.state.faults.pop(0) if self.state.faults else None
        if fault is not None and self.failed(fault):
            return
        if urlsplit(self.path).path not in PATHS[self.state.kind]:
            self.json(404, {"detail": "Not Found"})
            return
        getattr(self, "rank_" + self.state.kind.replace("-", "_").replace(".", "_"))(body)

    def failed(self, fault: object) -> bool:
        if fault == "drop":
            self.close_connection = True
            return True
        if isinstance(fault, tuple) and fault[0] == "slow":
            time.sleep(fault[1])
            return False
        status, headers, text = fault if isinstance(fault, tuple) else (fault, {}, "no")
        self.answer(status, text.encode(), **headers)
        return True

    def refused(self) -> bool:
        wrong = self.state.key is not None and self.headers.get("Authorization") != f"Bearer {self.state.key}"
        if wrong:
            self.json(401, {"message": f"invalid key {self.headers.get('Authorization')}"})
        return wrong

    def info(self) -> dict:
        labels = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
        return {
            "model_id": "tiny",
            "model_sha": "abc",
            "model_dtype": "float32",
            "model_type": {"reranker": labels},
            "max_input_length": 96,
            "max_client_batch_size": self.state.most,
            "version": "1.9.3",
        }

    def rank_tei(self, body: dict) -> None:
        if "texts" not in body:
            text = "Failed to deserialize the JSON body into the target type: missing field `texts` at line 1 column 9"
            self.answer(422, text.encode())
        elif len(body["texts"]) > self.state.most:
            error = f"batch size {len(body['texts'])} > maximum allowed batch size {self.state.most}"
            self.json(422, {"error": error, "error_type": "Validation"})
        else:
            scores = self.scores(body, body["texts"], raw=body.get("raw_scores", False))
            self.items([{"index": index, "score": score} for index, score in scores], lambda items: items)

    rank_tei_without_info = rank_tei

    def rank_tei_copy(self, body: dict) -> None:
        """One of FastAPI, which knows no raw scores."""
        if "texts" not in body:
            self.json(422, {"detail": [{"type": "missing", "loc": ["body", "texts"], "msg": "Field required"}]})
        else:
            self.rank_tei(body | {"raw_scores": False})

    def rank_cohere_v1(self, body: dict) -> None:
        self.cohere(body, {"query", "documents", "model", "top_n", "rank_fields", "return_documents"})

    def rank_cohere_v2(self, body: dict) -> None:
        if "model" not in body:
            self.json(400, {"id": "1", "message": "model is required"})
            return
        self.cohere(body, {"query", "documents", "model", "top_n", "max_tokens_per_doc", "priority"})

    def cohere(self, body: dict, known: set[str]) -> None:
        unknown = sorted(body.keys() - known)
        if unknown:
            message = f"unknown field: parameter '{unknown[0]}' is not a valid field"
            self.json(422, {"id": "1", "message": message})
            return
        self.results(body, raw=False, id="1", meta={"api_version": {"version": "2"}})

    def rank_jina(self, body: dict) -> None:
        self.results(body, raw=False, model="jina", object="list", usage={"total_tokens": 1}, document=True)

    def rank_vllm(self, body: dict) -> None:
        raw = body.get("use_activation") is False
        self.results(body, raw=raw, id="score-1", model="tiny", usage={"total_tokens": 1}, document=True)

    def rank_infinity(self, body: dict) -> None:
        raw = body.get("raw_scores", False)
        self.results(body, raw=raw, object="rerank", id="infinity-1", created=1, model="tiny", usage={})

    def rank_llama_cpp(self, body: dict) -> None:
        self.server_version = "llama.cpp"
        self.results(body, raw=True, model="tiny", object="list", usage={})

    def results(self, body: dict, *, raw: bool, document: bool = False, **rest: object) -> None:
        texts = body["documents"]
        shown = {"document": {"text": texts[0]}} if document else {}
        scores = self.scores(body, texts, raw=raw)
        items = [{"index": index, "relevance_score": score, **shown} for index, score in scores]
        self.items(items, lambda items: {**rest, "results": items})

    def scores(self, body: dict, texts: Sequence[str], *, raw: bool) -> list[tuple[int, float]]:
        """(index, score), best first, as all of them answer."""
        logits = np.asarray(self.state.score([(body["query"], text) for text in texts]), np.float32)
        scores = logits if raw else 1 / (1 + np.exp(-logits))
        return [(int(index), float(scores[index])) for index in np.argsort(-scores, kind="stable")]

    def items(self, items: list[dict], whole: Callable[[list[dict]], object]) -> None:
        spoilt = self.state.spoil(items) if self.state.spoil else items
        self.json(200, whole(spoilt) if isinstance(spoilt, list) else spoilt)

    def json(self, status: int, values: object) -> None:
        self.answer(status, json.dumps(values).encode(), **{"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def scores_of(encoder: CrossEncoder) -> Callable[[Sequence[tuple[str, str]]], Sequence[float]]:
    """The logits of an encoder, for a server that has its model."""
    return lambda pairs: encoder.score(pairs)[:, 0].tolist()


def length_of(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """A stand-in for a model, that tells texts apart."""
    return [(sum(map(ord, query + document)) % 997 - 500) / 100 for query, document in pairs]


@contextlib.contextmanager
def running_server(kind: str, score: Callable, *, most: int = 32) -> Iterator[Server]:
    """A server of a kind that `PATHS` names, listening on this machine; `score(pairs)` gives its logits."""
    state = Server(kind, score, most)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"state": state})) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        server.shutdown()
