"""The life of a server: serve, reload on SIGHUP, and drain on SIGTERM or Ctrl-C."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any

import uvicorn

from plackett._extras import extra
from plackett.errors import PlackettError
from plackett.serving.access import log_to_stderr
from plackett.serving.app import build_app
from plackett.serving.models import Models, load_models
from plackett.serving.protocol import protocol
from plackett.serving.refusal import Refusal
from plackett.serving.service import Service
from plackett.serving.settings import Settings

LOGGER = logging.getLogger("plackett.serving")
ARRIVED = 0.1  # seconds to read requests that were sent before the end


class Server(uvicorn.Server):
    """uvicorn's server, with exit code 0 after a signal."""

    def __init__(self, config: uvicorn.Config, life: "Life") -> None:
        super().__init__(config)
        self._life = life

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop, without raising them again at the end."""
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGTERM: lambda: self.handle_exit(signal.SIGTERM, None),
            signal.SIGINT: lambda: self.handle_exit(signal.SIGINT, None),
            signal.SIGHUP: self._life.reload_later,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain."""
        self._life.service.draining = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain: read requests that have arrived first, and send errors to those cancelled at the time limit."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVED)
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=1)


class Life:
    """Loads models in a thread beside the event loop, and swaps them atomically."""

    def __init__(self, service: Service, load: Callable[[Settings], Models] = load_models) -> None:
        self.service = service
        self.failure: PlackettError | None = None
        self._load = load
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, loading: Future[Models], stop: Callable[[], None]) -> None:
        """Use the models that `loading` returns; if that fails, `stop` ends the server."""
        try:
            self.service.use(await asyncio.wrap_future(loading))
        except PlackettError as error:
            self.failure = error
            stop()
        except Exception as error:
            self.failure = PlackettError(f"the models could not be loaded: {error!r}")
            stop()

    async def reload(self) -> None:
        """Reload the models. If that fails, raise Refusal, status 500, and keep the old ones."""
        async with self._loading:
            try:
                self.service.use(await asyncio.to_thread(self._load, self.service.settings))
            except Exception as error:
                self.service.metrics.count("plackett_reloads", "failed")
                traceback = not isinstance(error, PlackettError)
                LOGGER.error(
                    "the models could not be reloaded, so the previous ones stay: %s", error, exc_info=traceback
                )
                raise Refusal(500, "the models could not be reloaded; the previous ones stay in use") from error
        self.service.metrics.count("plackett_reloads", "done")

    def reload_later(self) -> None:
        """Reload the models in the background."""
        self.run_later(self._reload_quietly())

    def run_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        with contextlib.suppress(Refusal):
            await self.reload()


async def run(settings: Settings, listener: socket.socket, loading: Future[Models]) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises the error of `loading`."""
    if settings.access_log:
        log_to_stderr()
    service = Service(settings)
    if settings.traces:
        with extra("otel"):
            from plackett.serving.tracing import otlp_tracing
        service.trace = otlp_tracing()
    life = Life(service)
    config = uvicorn.Config(
        build_app(service, life.reload),
        http=protocol(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.drain_timeout,
        backlog=2048,
    )
    server = Server(config, life)

    def stop() -> None:
        server.should_exit = True

    service.batcher.start()
    life.run_later(life.start(loading, stop))
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"plackett: serving {', '.join(settings.checkpoints)} at http://{shown}:{port}\n")
    await server.serve(sockets=[listener])
    service.batcher.close()
    if life.failure is not None:
        raise life.failure
