"""A server as a process of its own, on loopback, with the embedded model."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager

from bare import BLOCKER

RUN = "import runpy, sys; sys.argv[0] = 'plackett'; runpy.run_module('plackett', run_name='__main__')"
# No torch, but what the server needs.
BARE = BLOCKER
for needed in ("prometheus_client", "starlette", "uvicorn"):
    BARE = BARE.replace(f"'{needed}'", "'nothing'")


class Server:
    """A process, its port, and its log."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def request(self, method, path, body=None, **headers):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=280)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json", **headers})
            reply = connection.getresponse()
            text = reply.read().decode()
        return reply.status, json.loads(text) if reply.headers["content-type"] == "application/json" else text

    def metric(self, name):
        lines = self.request("GET", "/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))

    def wait_until(self, holds):
        """Poll: how long something takes is not the question."""
        for _ in range(1200):
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError("it never happened")


@contextmanager
def started(tmp_path, *options):
    log = (tmp_path / "log").open("w+")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLACKETT_")}
    command = [sys.executable, "-c", BARE + RUN, "serve", "--port", "0", "--threads", "1", *options]
    process = subprocess.Popen(command, stderr=log, env=environment)
    try:
        server = Server(process, 0, log)
        server.wait_until(lambda: _port(server) or process.poll() is not None)
        assert process.poll() is None, text_of(log)
        server.port = _port(server)
        server.wait_until(lambda: server.request("GET", "/ready")[0] == 200)
        yield server
    finally:
        process.kill()
        process.wait()
        log.close()


def text_of(log):
    log.flush()
    with open(log.name) as again:
        return again.read()


def _port(server):
    found = re.search(r"at http://127\.0\.0\.1:(\d+)", text_of(server.log))
    return int(found[1]) if found else 0
