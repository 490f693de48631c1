"""The start of a server: it loads the models while the web framework is imported, so that it is ready sooner."""

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from plackett._extras import extra, require
from plackett.errors import SettingError
from plackett.serving.models import load_models
from plackett.serving.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises the error of loading the models, and SettingError for an address in use."""
    require("starlette", extra="serve")  # before any model is loaded
    listener = listen(settings)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load_models, settings)
        with extra("serve"):
            from plackett.serving.lifecycle import run
        asyncio.run(run(settings, listener, loading))


def listen(settings: Settings) -> socket.socket:
    """Open the listening socket. SettingError if that fails."""
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((str(address[0]), int(address[1])), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0  # the system's, or a negative one of name resolution
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
        raise SettingError(f"cannot listen on {settings.host}:{settings.port}: {why}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it on its own sockets only
    return listener
