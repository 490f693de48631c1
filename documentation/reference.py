"""Generate the site's reference pages from the code: commands, recipes, Python API, HTTP API, variables."""

import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from types import ModuleType
from typing import Any

import click
import yaml

import plackett
from plackett.cli.group import commands
from plackett.training.recipe import Recipe
from plackett.training.recipe_file import read_text

HIDDEN = {"plackett.integrations"}  # each of its modules is documented separately
SHIPPED = ("lists", "distil", "lambda", "long-documents", "causal-lora", "reference-msmarco-plistmle")
OTHERS = {
    "PLACKETT_MODEL": "Model of every command with `--model`: a folder, a Hub id or a server's address.",
    "PLACKETT_API_KEY": "Key to send to rerank servers; with `plackett serve`, the key that clients must send.",
    "NO_COLOR": "Any value turns colours off.",
    "FORCE_COLOR": "Any value turns colours on, even in a pipe.",
    "HF_TOKEN": "Token for the Hub.",
    "HF_ENDPOINT": "Address of another Hub.",
    "HF_HUB_OFFLINE": "1 reads the Hub's cache only.",
    "HF_HUB_DISABLE_XET": "1 transfers large files over LFS.",
    "HF_HUB_DOWNLOAD_TIMEOUT": "Seconds before a download is abandoned.",
    "ORT_DISABLE_TELEMETRY": "Set to 1 by Plackett before it imports onnxruntime.",
    "TOKENIZERS_PARALLELISM": "false tokenises with one thread; Plackett sets it in forked processes.",
    "XDG_CACHE_HOME": "Folder of caches: converted checkpoints, and the embedded model of a package in a zip file.",
}


def cli() -> str:
    """Every command with its help and options."""
    parts = ["# Commands\n", "Generated from `plackett --help`. [The command line](../commands.md) explains them.\n"]
    with click.Context(commands, info_name="plackett") as context:
        shared = [_options(commands, context)]
        parts += ["## Options of every command\n", *shared]
        for name, command in sorted(commands.commands.items()):
            with click.Context(command, info_name=name, parent=context) as own:
                parts += [f"## plackett {name}\n", *_command(command, own)]
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\nplackett {context.info_name} {usage}\n```\n"
    for block in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = block.lstrip("\b\n").splitlines()
        example = block.startswith("\b")
        yield "\n".join(["```text", *lines, "```"] if example else lines) + "\n"
    yield _options(command, context)


def _options(command: click.Command, context: click.Context) -> str:
    records = [
        found for item in command.params if isinstance(item, click.Option) and (found := item.get_help_record(context))
    ]
    rows = [(f"`{_cell(names)}`", _prose(text)) for names, text in records]
    return _table(("option", "effect"), rows)


def recipes() -> str:
    """Every key of a recipe with its type and default, and the recipes that ship with Plackett."""
    rows = []
    for item in fields(Recipe):
        default = item.default if item.default is not MISSING else _made(item.default_factory)
        rows.append((f"`{item.name}`", f"`{_cell(_kind(item.type))}`", f"`{_cell(default)}`" if default else ""))
    parts = [
        "# Recipe keys\n",
        f"{inspect.cleandoc(Recipe.__doc__ or '')}\n\n[Recipes and training](../train.md) explains each key.\n",
        _table(("key", "type", "default"), rows),
        "## Shipped recipes\n",
    ]
    for name in SHIPPED:
        parts.append(f"### {name}\n\n```yaml\n{read_text(name)}```\n")
    return "\n".join(parts)


def _made(factory: Any) -> str:
    return "" if factory is MISSING else yaml.safe_dump(factory(), default_flow_style=True).strip()


def _kind(kind: Any) -> str:
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    text = re.sub(r"Annotated\[([^,]+(?:\[[^\]]*\])?), .*\]", r"\1", text)
    return re.sub(r"(?:typing|collections\.abc|plackett\.training\.recipe)\.", "", text)


def http() -> str:
    """Every path of the server, from its OpenAPI document."""
    described = _openapi()
    rows = [
        (f"`{method.upper()}`", f"`{path}`", ", ".join(sorted(operation["responses"])))
        for path, operations in sorted(described["paths"].items())
        for method, operation in operations.items()
    ]
    statuses: dict[str, str] = {}
    for operations in described["paths"].values():
        for operation in operations.values():
            statuses |= {status: found["description"] for status, found in operation["responses"].items()}
    return "\n".join(
        [
            "# HTTP API\n",
            "From the server's OpenAPI document, `/openapi.json`. [Serve](../serve.md) explains the formats.\n",
            "## Statuses\n",
            _table(("status", "meaning"), sorted(statuses.items())),
            "## Paths\n",
            _table(("method", "path", "statuses"), rows),
        ]
    )


def _openapi() -> dict[str, Any]:
    """Return the OpenAPI document of a server without models."""
    import asyncio

    import httpx2

    from plackett.serving.app import build_app
    from plackett.serving.service import Service
    from plackett.serving.settings import Settings

    async def nothing() -> None:
        pass

    async def ask() -> dict[str, Any]:
        transport = httpx2.ASGITransport(build_app(Service(Settings()), nothing))
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            found: dict[str, Any] = (await client.get("/openapi.json")).json()
        return found

    return asyncio.run(ask())


def environment() -> str:
    """Every environment variable in one table."""
    from plackett.serving.settings import OPTIONS, PREFIX

    rows = [(f"`{name}`", text) for name, text in OTHERS.items()]
    known = set(OTHERS)
    for item in commands.params:
        if isinstance(item, click.Option) and item.envvar and str(item.envvar) not in known:
            rows.append((f"`{item.envvar}`", f"1 has the effect of `{item.opts[0]}`: {item.help}"))
    served = [(f"`{PREFIX}{name.upper()}`", str(item.metadata["help"])) for name, item in OPTIONS.items()]
    return "\n".join(
        [
            "# Environment variables\n",
            "An option on the command line overrides its variable.\n",
            _table(("variable", "effect"), sorted(rows)),
            "## Options of one command\n",
            "Every option of a command is also a variable: `PLACKETT_`, the command, and the option in capitals, such\n"
            "as `PLACKETT_RANK_TOP_K=5` for `plackett rank --top-k 5`.\n",
            "## The server\n",
            _table(("variable", "setting of `plackett serve`"), served),
        ]
    )


def python() -> str:
    """The public names of every package, for mkdocstrings."""
    parts = ["# Python API\n", "Names not on this page may change in any release ([stability](../stability.md)).\n"]
    for module in _faces():
        parts.append(f"## {module.__name__}\n\n{inspect.cleandoc(module.__doc__ or '').splitlines()[0]}\n")
        values = [getattr(module, name) for name in module.__all__ if not name.startswith("__")]
        tables = [value.values() for value in values if isinstance(value, dict)]
        homes = dict.fromkeys(map(_home, itertools.chain(values, *tables)))
        parts += [f"::: {home}\n    options:\n      heading_level: 3\n" for home in homes if home]
    return "\n".join(parts)


def _faces() -> Iterable[ModuleType]:
    """`plackett` and its packages that have a public list."""
    yield plackett
    for found in pkgutil.iter_modules(plackett.__path__, "plackett."):
        if found.ispkg and found.name not in HIDDEN and not found.name.rpartition(".")[2].startswith("_"):
            module = importlib.import_module(found.name)
            if getattr(module, "__all__", None):
                yield module


def _home(value: Any) -> str:
    """Return where a class or function is defined, because griffe ignores lazy imports; empty for other values."""
    if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("plackett"):
        return ""
    return f"{value.__module__}.{value.__qualname__}"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _prose(value: object) -> str:
    """Escape a table cell so its brackets are not links."""
    return _cell(value).replace("[", "\\[")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli,
    "reference/recipes.md": recipes,
    "reference/http.md": http,
    "reference/environment.md": environment,
    "reference/python.md": python,
}
