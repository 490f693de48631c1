"""`plackett serve`."""

import os
import signal
from collections.abc import Callable
from dataclasses import Field
from pathlib import Path
from typing import Any

import click

from plackett.cli.options import FILE
from plackett.serving.settings import OPTIONS, PREFIX, resolve

NAMES = {"models": "--model", "cors_origins": "--cors-origin"}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add one option for each setting."""
    for name, item in reversed(OPTIONS.items()):
        command = click.option(*_declaration(name, item), **_shape(item))(command)
    return command


def _declaration(name: str, item: "Field[Any]") -> tuple[str, str]:
    flag = NAMES.get(name, f"--{name.replace('_', '-')}")
    return (f"{flag}/--no-{flag[2:]}" if item.metadata["kind"] is bool else flag), name


def _shape(item: "Field[Any]") -> dict[str, Any]:
    kind, default = item.metadata["kind"], item.default
    shown = f"{item.metadata['help']}  [default: {default}]" if default not in ("", ()) else item.metadata["help"]
    if kind is bool:
        return {"default": None, "help": shown}
    return {"type": str if kind is tuple else kind, "multiple": kind is tuple, "help": shown}


@click.command("serve")
@click.option("--config", type=FILE, help="A TOML file of settings, by the names of --check.")
@click.option("--check", is_flag=True, help="Check the settings, print them as TOML, and exit.")
@_options
def serve_command(config: Path | None, check: bool, **flags: object) -> None:
    """Serve rerankers over HTTP.

    The server speaks the formats of TEI, Cohere, Jina, vLLM, Infinity and others. Every option is also an environment
    variable, such as PLACKETT_PORT, and a key in the file --config. An option overrides the variable, which overrides
    the file.

    \b
    plackett serve
    plackett serve --model mine=models/mine --port 8080
    plackett serve --config serve.toml --check
    """
    settings = resolve(flags, os.environ, config or os.environ.get(f"{PREFIX}CONFIG"))
    if check:
        click.echo(settings.render())
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # reloads models, but none are loaded yet
    from plackett.serving.start import serve  # --check needs no models

    serve(settings)
