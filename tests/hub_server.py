"""A small hub on this machine: as much of the real one's HTTP as huggingface-hub calls, and its refusals on demand."""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from xet_store import XetStore

XET_TOKEN = "a token of Xet, for an hour"
TOKEN = "hf_aVerySecretTokenOfMineThatNobodySees"


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".png", ".bin", ".onnx"))


@dataclass
class Repository:
    """Branches of files, and every commit by its id."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    pull_requests: int = 0

    def commit(self, branch: str, changes: dict[str, bytes]) -> str:
        files = {**self.commits[self.branches.get(branch, self.branches["main"])], **changes}
        summary = "".join(f"{path}{git_oid(content)}" for path, content in sorted(files.items()))
        commit = hashlib.sha1(f"{len(self.commits)}{summary}".encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def find(self, revision: str) -> str | None:
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Fault:
    """What happens once to a request whose "METHOD path" contains `where`, in place of the answer.

    A status and headers; or `drop`, the bytes of the body after which the connection ends (an answer without a body is
    not given at all); or `seconds` of silence
    before the true answer.
    """

    where: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    drop: int | None = None
    seconds: float = 0.0
    times: int = 1


class Hub:
    """The state of the hub. `requests` are "METHOD path range" of all that was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.extra_paths: list[str] = []
        self.xet = XetStore()
        self.url = self.cdn = ""  # two names of this machine: the client follows a redirect to its own host otherwise

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """A repository with files on its main branch; the commit."""
        repository = self.repositories.setdefault(name, Repository(private))
        self.objects |= {hashlib.sha256(content).hexdigest(): content for path, content in files.items()}
        return repository.commit("main", files)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.branches[revision]]

    def asked(self, text: str) -> list[str]:
        return [request for request in self.requests if text in request]


class Handler(BaseHTTPRequestHandler):
    """One request. The methods are named for what the hub calls its endpoints."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/models/([^/]+/[^/]+)/branch/(.+)", "branch"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/(.+)", "preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/(.+)", "commit"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("POST", r"/verify", "verify"),
        ("PUT", r"/objects/(\w+)", "store"),
        ("GET", r"/api/models/([^/]+/[^/]+)/xet-(read|write)-token/([^/]+)", "xet_token"),
        ("POST", r"/v1/xorbs/default/(\w+)", "xet_xorb"),
        ("POST", r"/v1/shards", "xet_shard"),
        ("GET", r"/v1/reconstructions/(\w+)", "xet_reconstruction"),
        ("GET", r"/xorbs/(\w+)", "xet_chunks"),
        ("GET", r"/objects/(\w+)", "fetch"),
        ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/?]+)", "tree"),
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/(.+)", "info"),
        ("GET", r"/api/models/([^/]+/[^/]+)", "info"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.content = self.rfile.read(length)
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        path = unquote(parts.path)
        self.hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        self.drop = None
        for fault in self.hub.faults:
            if fault.times and fault.where in f"{self.command} {path}":
                fault.times -= 1
                time.sleep(fault.seconds)
                self.drop = fault.drop
                if fault.status:
                    body = fault.body.replace("AUTHORIZATION", self.headers.get("Authorization", ""))
                    self.answer(fault.status, body.encode(), **fault.headers)
                    return
                break
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if method == wanted and match:
                getattr(self, name)(*match.groups())
                return
        self.answer(404, b"{}")

    do_HEAD = do_POST = do_PUT = do_GET

    def allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name: str, *, write: bool = False) -> Repository | None:
        """The repository, or None after a refusal."""
        found = self.hub.repositories.get(name)
        if self.headers.get("Authorization") and not self.allowed():
            self.answer(401, b'{"error": "Invalid credentials in Authorization header"}')
        elif (write and not self.allowed()) or (found is not None and found.private and not self.allowed()):
            self.answer(401, b'{"error": "Repository Not Found"}', **{"X-Error-Code": "RepoNotFound"})
        elif found is None:
            self.answer(404, b'{"error": "Repository not found"}', **{"X-Error-Code": "RepoNotFound"})
        else:
            return found
        return None

    def create(self) -> None:
        values = json.loads(self.content)
        name = f"{values['organization']}/{values['name']}"
        if not self.allowed():
            self.answer(401, b'{"error": "Invalid username or password."}')
        elif name in self.hub.repositories:
            self.json(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        else:
            self.hub.repositories[name] = Repository(
                values.get("visibility") == "private" or bool(values.get("private"))
            )
            self.json(200, {"url": f"{self.hub.url}/{name}"})

    def validate(self) -> None:
        self.json(200, {"errors": [], "warnings": []})

    def branch(self, name: str, branch: str) -> None:
        if (repository := self.repository(name, write=True)) is not None:
            exists = branch in repository.branches
            repository.branches.setdefault(branch, repository.branches["main"])
            self.json(409 if exists else 200, {"error": "Reference already exists"} if exists else {})

    def preupload(self, name: str, revision: str) -> None:
        if (repository := self.repository(name, write=True)) is None:
            return
        commit = repository.find(revision)
        if commit is None:
            self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
            return
        there = repository.commits[commit]
        files = []
        for file in json.loads(self.content)["files"]:
            large = is_large(file["path"])
            known = there.get(file["path"])
            oid = known and (hashlib.sha256(known).hexdigest() if large else git_oid(known))
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.json(200, {"files": files})

    def batch(self, name: str) -> None:
        if self.repository(name, write=True) is None:
            return
        objects = []
        for item in json.loads(self.content)["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.url}/objects/{item['oid']}"},
                "verify": {"href": f"{self.hub.url}/verify"},
            }
            objects.append({**item, **({} if item["oid"] in self.hub.objects else {"actions": actions})})
        self.json(200, {"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        if hashlib.sha256(self.content).hexdigest() != oid:
            self.answer(400, b"{}")
            return
        self.hub.objects[oid] = self.content
        self.answer(200, b"")

    def verify(self) -> None:
        self.json(200 if json.loads(self.content)["oid"] in self.hub.objects else 404, {})

    def xet_token(self, name: str, kind: str, revision: str) -> None:
        if self.repository(name, write=kind == "write") is not None:
            until = int(time.time()) + 3600
            values = {"accessToken": XET_TOKEN, "exp": until, "casUrl": self.hub.url}
            headers = {"Cas-Url": self.hub.url, "Access-Token": XET_TOKEN, "Token-Expiration": str(until)}
            self.json(200, values, **{f"X-Xet-{key}": value for key, value in headers.items()})

    def xet_allowed(self) -> bool:
        """Only the short-lived token of Xet goes there; the answer to any other is given here."""
        allowed = self.headers.get("Authorization") == f"Bearer {XET_TOKEN}"
        if not allowed:
            self.answer(401, b"{}")
        return allowed

    def xet_xorb(self, name: str) -> None:
        if self.xet_allowed():
            is_new = name not in self.hub.xet.xorbs
            self.hub.xet.xorbs[name] = self.content
            self.json(200, {"was_inserted": is_new})

    def xet_shard(self) -> None:
        if self.xet_allowed():
            self.hub.objects |= self.hub.xet.add_shard(self.content)
            self.json(200, {"result": 1})

    def xet_reconstruction(self, name: str) -> None:
        if self.xet_allowed():
            self.json(200, self.hub.xet.reconstruction(name, f"{self.hub.url}/xorbs"))

    def xet_chunks(self, name: str) -> None:
        """Addresses that carry their own right, as those of the real one do."""
        self.partial(self.hub.xet.xorbs[name], {})

    def commit(self, name: str, revision: str) -> None:
        if (repository := self.repository(name, write=True)) is None:
            return
        changes = {}
        for line in map(json.loads, self.content.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.hub.objects[value["oid"]]
        branch, more = revision, {}
        if self.query.get("create_pr"):
            repository.pull_requests += 1
            branch = f"refs/pr/{repository.pull_requests}"
            more = {"pullRequestUrl": f"{self.hub.url}/{name}/discussions/{repository.pull_requests}"}
        commit = repository.commit(branch, changes)
        self.json(200, {"commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}", **more})

    def info(self, name: str, revision: str = "main") -> None:
        if (repository := self.repository(name)) is None:
            return
        commit = repository.find(revision)
        if commit is None:
            self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
            return
        paths = [*repository.commits[commit], *self.hub.extra_paths]
        self.json(200, {"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in paths]})

    def tree(self, name: str, revision: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        files = {**repository.commits[repository.find(revision)], **dict.fromkeys(self.hub.extra_paths, b"evil")}
        self.json(200, [self.entry(path, content) for path, content in files.items()])

    @staticmethod
    def entry(path: str, content: bytes) -> dict:
        large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}}
        return {
            "type": "file",
            "path": path,
            "size": len(content),
            "oid": git_oid(content),
            **(large if is_large(path) else {}),
        }

    def resolve(self, name: str, revision: str, path: str) -> None:
        if (repository := self.repository(name)) is None:
            return
        commit = repository.find(revision)
        content = repository.commits[commit].get(path) if commit else None
        if content is None and path in self.hub.extra_paths:
            content = b"evil"
        if content is None:
            code = "EntryNotFound" if commit else "RevisionNotFound"
            self.answer(404, b"{}", **{"X-Error-Code": code, "X-Repo-Commit": commit or ""})
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_oid(content)}"'}
        if is_large(path):
            oid = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
            if oid in self.hub.xet.hashes:
                route = f"{self.hub.url}/api/models/{name}/xet-read-token/{commit}"
                headers |= {"X-Xet-Hash": self.hub.xet.hashes[oid], "X-Xet-Refresh-Route": route}
            self.answer(302, b"", **headers, Location=f"{self.hub.cdn}/objects/{oid}")
        else:
            self.partial(content, headers)

    def fetch(self, oid: str) -> None:
        self.partial(self.hub.objects[oid], {"ETag": f'"{oid}"'})

    def partial(self, content: bytes, headers: dict[str, str]) -> None:
        """The content, or the range that was asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self.answer(200, content, **headers)
        else:
            start, end = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            span = f"bytes {start}-{end}/{len(content)}"
            self.answer(206, content[start : end + 1], **headers, **{"Content-Range": span})

    def json(self, status: int, values: object, **headers: str) -> None:
        self.answer(status, json.dumps(values).encode(), **{"Content-Type": "application/json"}, **headers)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        if self.drop is not None and not body:
            self.close_connection = True  # without a word
            return
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.drop is not None:
            self.wfile.write(body[: self.drop])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that listens on this machine."""
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub})) as server:
        server.daemon_threads = True
        hub.url, hub.cdn = (f"http://{name}:{server.server_port}" for name in ("127.0.0.1", "localhost"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()


def use_hub(
    monkeypatch: pytest.MonkeyPatch, url: str, cache: object, *, token: str | None = None, xet: bool = False
) -> None:
    """Point huggingface-hub, in this process, to a hub, a cache and a token: it reads its environment only once.

    With `xet` large files go as hf_xet sends them, which is the default of the client; else as LFS, its other way.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{cache}/no-token")
    if token is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("HF_TOKEN", token)
