"""Hub ids with the real client: against nothing, against a small hub on this machine, and from its cache."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from plackett import CrossEncoder, DataError, HubError
from plackett.checkpoints.folder import find_folder
from plackett.checkpoints.hub import find_file, parse_hub_file
from tiny import PAIRS

COMMIT = "0123456789" * 4
FIND = """
import sys, plackett
from plackett.checkpoints.folder import find_folder
try:
    print(find_folder(sys.argv[1], revision=None, local_files_only=False))
except plackett.HubError as error:
    print("HubError:", error)
"""


def find(name, home, **environment):
    """Find `name` in a process of its own: the client reads its environment when it is imported."""
    variables = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-c", FIND, name]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)


@pytest.mark.process
@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_hub_that_cannot_be_reached(tmp_path, environment):
    done = find("nobody/nothing", tmp_path, **environment)
    assert done.stdout.startswith("HubError: there is no folder nobody/nothing, it is not in the Hub's cache"), (
        done.stderr
    )
    assert "or try again with a network connection" in done.stdout


def test_local_files_only_asks_nobody():
    with pytest.raises(HubError, match="unreachable or disabled"):
        find_folder("nobody/nothing", revision=None, local_files_only=True)


def etag(content):
    return hashlib.sha1(content).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs: org/name is a folder, org/broken and org/portal are ill."""

    def __init__(self, folder, *rest):
        self.folder = folder
        super().__init__(*rest)

    def do_GET(self):
        files = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        name = self.path.rpartition("/")[2]
        if "org/broken" in self.path:
            self.answer(500, b"{}")
        elif "org/portal" in self.path:
            self.answer(200, b"<html>Please sign in to the airport's network</html>")
        elif self.path.startswith(f"/api/models/org/name/tree/{COMMIT}"):
            entries = [
                {"type": "file", "path": name, "size": len(files[name]), "oid": etag(files[name])} for name in files
            ]
            self.answer(200, json.dumps(entries).encode())
        elif self.path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in files]
            self.answer(200, json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode())
        elif self.path == f"/org/name/resolve/{COMMIT}/{name}" and name in files:
            self.answer(200, files[name])
        else:
            self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def answer(self, status, body, **headers):
        self.send_response(status)
        own = {"Content-Length": str(len(body)), "ETag": f'"{etag(body)}"', "X-Repo-Commit": COMMIT}
        for key, value in (own | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(bert):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, bert)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.process
def test_a_hub_id_is_downloaded_once_and_then_read_without_network(hub, bert, tmp_path):
    expected = CrossEncoder(bert).predict(PAIRS[:3])
    for environment in ({"HF_ENDPOINT": hub}, {"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        folder = Path(find("org/name", tmp_path, **environment).stdout.strip())
        assert folder.name == COMMIT
        np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS[:3]), expected, atol=1e-6)

    assert any(path.is_symlink() for path in folder.iterdir()), "the cache is made of links"
    CrossEncoder(folder).save_pretrained(tmp_path / "mine")
    assert not any(path.is_symlink() for path in (tmp_path / "mine").iterdir())
    np.testing.assert_allclose(CrossEncoder(tmp_path / "mine").predict(PAIRS[:3]), expected, atol=1e-6)


@pytest.mark.process
def test_a_name_that_the_hub_does_not_know(hub, tmp_path):
    done = find("org/unknown", tmp_path, HF_ENDPOINT=hub)
    assert done.stdout.startswith("HubError: there is no folder org/unknown, and the Hub has no model with this name")


@pytest.mark.process
@pytest.mark.parametrize("name", ["org/broken", "org/portal"])
def test_a_hub_that_is_ill(hub, tmp_path, name):
    done = find(name, tmp_path, HF_ENDPOINT=hub)
    assert done.stdout.startswith("HubError: "), done.stderr
    assert name in done.stdout


CONTENT = b"{}\n"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache in the hub's own layout that holds one file of one data set."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    file = tmp_path / "datasets--org--name" / "snapshots" / COMMIT / "v1.1" / "train.jsonl"
    for path, content in ((file, CONTENT), (tmp_path / "datasets--org--name" / "refs" / "main", COMMIT.encode())):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return file


@pytest.mark.parametrize("revision", [f"@{COMMIT}", "@main", ""])
def test_a_file_of_the_hub_is_read_from_its_cache(hub_cache, revision):
    found = find_file(f"hf://datasets/org/name{revision}/v1.1/train.jsonl")
    assert found == hub_cache
    assert found.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name", [f"org/name@{COMMIT}/v1.1/test.jsonl", "org/name@refs/pr/3/x.jsonl", "org/other/x.jsonl"]
)
def test_a_file_that_is_not_in_the_cache_of_the_hub(hub_cache, name):
    with pytest.raises(HubError, match=f"{name} is not in the Hub's cache, and the Hub is unreachable"):
        find_file(f"hf://datasets/{name}")


@pytest.mark.parametrize(
    "name", ["hf://org/name/x.jsonl", "hf://datasets/name/x.jsonl", "hf://datasets/org/name", "hf://"]
)
def test_a_name_that_is_no_file_of_the_hub(name):
    with pytest.raises(DataError, match="not of the form hf://datasets/OWNER/NAME@REVISION/FILE"):
        find_file(name)


def test_the_parts_of_a_name_of_the_hub():
    assert parse_hub_file("hf://datasets/org/name@refs/pr/3/a/b.jsonl") == ("org/name", "refs/pr/3", "a/b.jsonl")
    assert parse_hub_file("hf://datasets/org/name/b.jsonl") == ("org/name", None, "b.jsonl")
    assert parse_hub_file("datasets/org/name/b.jsonl") is None


def test_a_path_is_taken_as_it_is(tmp_path):
    assert find_file(str(tmp_path / "x.jsonl")) == tmp_path / "x.jsonl"
