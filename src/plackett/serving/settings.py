"""The settings of a server: from flags, `PLACKETT_*` variables and a TOML file, in this order of precedence."""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from plackett.checkpoints.activations import CALIBRATED
from plackett.checkpoints.exports import ENGINES
from plackett.engines.base import PRECISIONS
from plackett.errors import SettingError

PREFIX = "PLACKETT_"
EMBEDDED = "plackett-default"
SECRETS = ("api_key",)
SCALES = ("sigmoid", "identity", "tanh")  # in addition to a model's calibration
KNOWN = {"engine": ("auto", *ENGINES), "precision": ("", *PRECISIONS), "activation": (*SCALES, CALIBRATED)}
LARGEST = 10**12  # of any number: seconds, bytes, tokens
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def _setting(default: Any, help: str, kind: type = str, least: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "kind": kind, "least": least})


@dataclass(frozen=True)
class Settings:
    """The settings of a server. Times are in seconds."""

    models: tuple[str, ...] = _setting(
        (), "A model as NAME=CHECKPOINT or CHECKPOINT; repeat for several. The first is the default.", tuple
    )
    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 listens on all.")
    port: int = _setting(8000, "Port to listen on; 0 picks a free one.", int, 0)

    engine: str = _setting("auto", "Engine that computes the scores.")
    precision: str = _setting("", "fp32, bf16 or int8.")
    threads: int = _setting(0, "Processor threads; 0 uses all available to the process.", int, 0)
    max_length: int = _setting(0, "Tokens per pair; 0 keeps the checkpoint's limit.", int, 0)
    instruction: str = _setting("", "What to look for, unless a request sets it; for models with a chat template.")
    positive_label: str = _setting("", "Label to rank by, for models with several labels, by its name or number.")
    trust_remote_code: bool = _setting(False, "Whether to run Python code from the models' folders.", bool)
    activation: str = _setting(
        "sigmoid", "Scores to return unless a request chooses others: sigmoid, identity or calibrated."
    )

    batch_tokens: int = _setting(0, "Tokens to score at a time; 0 picks up to 0.1 s of work, at least 512.", int, 0)
    queue_tokens: int = _setting(
        400_000, "Tokens that may wait in the queue; beyond that, requests get status 429.", int, 1
    )
    low_priority_share: float = _setting(
        0.5, "Share of the queue that low-priority requests may fill, from 0 to 1.", float, 0
    )
    request_timeout: float = _setting(
        60.0, "Seconds a request may take; a client may set a shorter limit.", float, 0.001
    )

    max_body_bytes: int = _setting(16_000_000, "Maximum size of a request's body in bytes.", int, 1)
    max_buffered_bytes: int = _setting(
        256_000_000, "Bytes of request bodies to hold at a time; beyond that, requests get status 429.", int, 1
    )
    max_documents: int = _setting(10_000, "Maximum number of documents in a request.", int, 1)
    max_characters: int = _setting(10_000_000, "Maximum number of characters in the texts of a request.", int, 1)
    max_explained: int = _setting(20, "Maximum number of results per request with relevant spans.", int, 0)
    max_nesting: int = _setting(32, "Maximum depth of nested JSON.", int, 1)
    max_header_bytes: int = _setting(32_768, "Maximum size of a request's headers in bytes.", int, 1024)
    header_timeout: float = _setting(10.0, "Seconds a client may take to send a request's headers.", float, 0.001)
    body_timeout: float = _setting(
        30.0, "Seconds a client may take to send a request's body, and to read its response.", float, 0.001
    )
    keep_alive: int = _setting(75, "Seconds to keep an idle connection open.", int, 1)
    drain_timeout: int = _setting(30, "Seconds to finish accepted requests after SIGTERM.", int, 0)

    api_key: str = _setting("", "Key that clients must send as a bearer token.")
    api_key_file: str = _setting("", "File that holds the key.")
    cors_origins: tuple[str, ...] = _setting((), "Origin whose web pages may send requests; repeat for several.", tuple)
    traces: bool = _setting(False, "Whether to send OpenTelemetry spans to the address in the OTEL_* variables.", bool)
    access_log: bool = _setting(True, "Whether to log each request as a line of JSON.", bool)

    @property
    def checkpoints(self) -> dict[str, str | None]:
        """Map each model's name to its checkpoint; None is the embedded model."""
        if not self.models:
            return {EMBEDDED: None}
        pairs = [_named(model) for model in self.models]
        found: dict[str, str | None] = dict(pairs)
        if len(found) < len(pairs):
            raise SettingError("two models have the same name; name them with NAME=CHECKPOINT")
        return found

    @property
    def key(self) -> str:
        """Return the API key, read from `api_key_file` if that is set."""
        if not self.api_key_file:
            return self.api_key
        try:
            return Path(self.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise SettingError(f"the key file {self.api_key_file} cannot be read: {_why(error)}") from error

    def check(self) -> None:
        """Raise SettingError for invalid or conflicting settings."""
        self._check_key()
        if self.port > 65535:
            raise SettingError(f"port={self.port} is not a port; choose one up to 65535")
        self._check_names()
        if self.low_priority_share > 1:
            raise SettingError(f"low_priority_share={self.low_priority_share} is not a share from 0 to 1")
        self._check_models()

    def _check_key(self) -> None:
        if self.api_key and self.api_key_file:
            raise SettingError("api_key and api_key_file are both set; unset one of them")
        key = self.key
        if not (key.isascii() and key.isprintable()) or (self.api_key_file and not key):
            raise SettingError("the API key must be printable ASCII, and not empty")

    def _check_models(self) -> None:
        for checkpoint in self.checkpoints.values():
            if checkpoint and not (HUB_ID.fullmatch(checkpoint) or Path(checkpoint).exists()):
                raise SettingError(f"there is no folder {checkpoint}, and it is not a Hub id such as org/name")

    def _check_names(self) -> None:
        for setting, known in KNOWN.items():
            name = getattr(self, setting)
            if name not in known:
                raise SettingError.unknown(setting, name, filter(None, known))
        for origin in self.cors_origins:
            if not ORIGIN.fullmatch(origin):
                raise SettingError(f"cors_origins: {origin!r} is not an origin such as https://example.com, nor *")

    def render(self) -> str:
        """Render the settings as a TOML file, without secrets."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        hidden = {name: "***" for name in SECRETS if shown.pop(name)}
        return "\n".join(f"{name} = {json.dumps(value)}" for name, value in {**shown, **hidden}.items())


OPTIONS = {item.name: item for item in fields(Settings)}


def resolve(flags: Mapping[str, object], environment: Mapping[str, str], file: str | Path | None = None) -> Settings:
    """Combine the three sources and check the result. Flags that are None or an empty list count as not given."""
    found: dict[str, Any] = {}
    variables = {name: _variable(environment, name) for name in OPTIONS}
    for source, values in (
        (str(file), _read_file(file)),
        ("the environment", {name: value for name, value in variables.items() if value is not None}),
        ("the command line", {name: value for name, value in flags.items() if value not in (None, ())}),
    ):
        found |= {name: _read(source, name, value) for name, value in values.items()}
    if found.get("api_key") == "":
        raise SettingError("the API key is empty; unset it to serve without one")
    settings = Settings(**found)
    settings.check()
    return settings


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    """Return the value of a setting's variable; repeatable settings also have a singular name, PLACKETT_MODEL."""
    names = (name, name.removesuffix("s")) if OPTIONS[name].metadata["kind"] is tuple else (name,)
    return next((value for item in names if (value := environment.get(PREFIX + item.upper())) is not None), None)


def _read_file(file: str | Path | None) -> dict[str, object]:
    if not file:
        return {}
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SettingError(f"the configuration {file} cannot be read: {_why(error)}") from error


def _why(error: OSError | ValueError) -> object:
    return getattr(error, "strerror", None) or error


def _read(source: str, name: str, value: object) -> object:
    if name not in OPTIONS:
        raise SettingError(f"{source}: {SettingError.unknown('setting', name, OPTIONS)}")
    rules = OPTIONS[name].metadata
    kind, least = rules["kind"], rules["least"]
    try:
        found = READERS[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(f"{source}: {name}={value!r} is not {NOUNS[kind]}") from None
    if least is not None and found < least:
        raise SettingError(f"{source}: {name}={value!r} is less than {least}")
    if least is not None and found > LARGEST:
        raise SettingError(f"{source}: {name}={value!r} is more than {LARGEST}")
    return found


def _texts(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError
    return tuple(item.strip() for item in items if item.strip())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _whole(value: object) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)  # type: ignore[call-overload,no-any-return]


def _number(value: object) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):  # type: ignore[arg-type]
        raise TypeError
    return number


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in FLAGS:
        raise ValueError
    return FLAGS[word]


FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
READERS: Mapping[type, Any] = {str: _text, tuple: _texts, int: _whole, float: _number, bool: _flag}
NOUNS = {str: "a text", tuple: "a list of texts", int: "a whole number", float: "a number", bool: "true or false"}


def _named(model: str) -> tuple[str, str]:
    name, separator, checkpoint = model.partition("=")
    if separator and name and checkpoint and "/" not in name:
        return name, checkpoint
    return Path(model).name or model, model
