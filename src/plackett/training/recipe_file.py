"""Recipe files: YAML parsing, overrides from the command line, and the recipes that ship with Plackett."""

import re
from collections.abc import Hashable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from plackett.errors import SettingError

TEXTS = ("base", "description", "license", "output")
"""Recipe keys that hold a single text: overrides are taken verbatim, without quotes."""

_FOLDER = files("plackett").joinpath("recipes")


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with Plackett."""
    return sorted(path.name.removesuffix(".yaml") for path in _FOLDER.iterdir() if path.name.endswith(".yaml"))


def read_text(recipe: str | Path) -> str:
    """Read a recipe file, or the shipped recipe of this name if there is no such file."""
    path, name = Path(recipe), str(recipe)
    try:
        if not path.exists() and name in shipped_recipes():
            return _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        shipped = ", ".join(shipped_recipes())
        raise SettingError(f"there is no recipe file {recipe}; recipes that ship with Plackett: {shipped}") from error
    except OSError as error:
        raise SettingError(f"the recipe {recipe} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"the recipe {recipe} is not UTF-8 text") from error


def read_values(recipe: str | Path) -> dict[str, Any]:
    """Read the keys and values of a recipe; SettingError with file and line for invalid YAML."""
    values = _parsed(read_text(recipe), f"the recipe {recipe}")
    if not isinstance(values, dict):
        raise SettingError(f"the recipe {recipe} does not contain lines of `key: value`")
    if isinstance(values.get("loss"), str):
        values["loss"] = {"name": values["loss"]}
    return values


def override(values: dict[str, Any], setting: str) -> None:
    """Replace one value: `key=value`, with dots for nesting and the value in YAML."""
    path, separator, text = setting.partition("=")
    if not separator or not path:
        raise SettingError(f"--set {setting!r} is not key=value")

    *parents, key = path.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise SettingError(f"--set {setting!r}: {parent} has no keys")
        values = child

    is_text = path in TEXTS and text and text[0] not in "\"'"
    values[key] = text if is_text else _parsed(text, f"--set {setting!r}")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: 1e-4 and 010 are numbers; no, 1:30 and 2024-01-31 are texts. Duplicate keys fail."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse duplicate keys, because the first value would be lost."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and not key.tag.endswith(":merge"):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} occurs twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Read 010 as ten, as YAML 1.2 does, and not as eight."""
        text = str(self.construct_scalar(node))
        return int(text, 0 if text[:2] in {"0o", "0x"} else 10)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in {"merge", "null"}]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+.0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _parsed(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingError(f"{where}{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise SettingError(f"{where} is not YAML: {error}") from error
    except RecursionError as error:
        raise SettingError(f"{where} is nested too deeply") from error
