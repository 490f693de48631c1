"""A server in this process: a real tokenizer, a fake engine, no sockets."""

import asyncio
import contextlib

import httpx2
import numpy as np

from plackett.checkpoints.folder import read_checkpoint
from plackett.cross_encoder import CrossEncoder
from plackett.engines.base import FakeEngine, Parts
from plackett.serving.app import build_app
from plackett.serving.lifecycle import Life
from plackett.serving.models import Models, ServedModel
from plackett.serving.service import Service
from plackett.serving.settings import Settings


def logit(token_ids):
    """Tells pairs apart, and stays where a sigmoid does."""
    return float(np.sin(np.dot(token_ids, np.arange(1, len(token_ids) + 1))) * 3)


def encoder(folder, function=logit):
    return CrossEncoder.from_parts(Parts.of(read_checkpoint(folder), FakeEngine(function)))


def models(folder, *names, function=logit):
    return Models({name: ServedModel(name, encoder(folder, function), "sigmoid") for name in names or ("tiny",)})


class Client:
    """Sends requests to an application, one event loop for all of them."""

    def __init__(self, service, life):
        self.service, self.life = service, life
        self.app = build_app(service, life.reload)
        self._runner = asyncio.Runner()

    def send(self, method, path, **options):
        return self._runner.run(self._send(method, path, **options))

    def post(self, path, body=None, **options):
        return self.send("POST", path, **({"json": body} if body is not None else {}), **options)

    def get(self, path, **options):
        return self.send("GET", path, **options)

    def run(self, coroutine):
        return self._runner.run(coroutine)

    def close(self):
        self._runner.close()

    async def _send(self, method, path, **options):
        transport = httpx2.ASGITransport(self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **options)


@contextlib.contextmanager
def serving(folder, *names, function=logit, load=None, found=None, **settings):
    service = Service(Settings(**settings))
    service.loaded = found or models(folder, *names, function=function)
    service.batcher.start()
    client = Client(service, Life(service, load or (lambda _settings: models(folder, *names, function=function))))
    try:
        yield client
    finally:
        client.close()
        service.batcher.close()
