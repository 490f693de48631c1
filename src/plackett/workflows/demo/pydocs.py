"""The documentation of the running Python's standard library as a ranking collection, available on every machine."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import pkgutil
import random
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

# Importing these prints, opens a window or a browser, or runs a program.
SKIPPED = {"__main__", "antigravity", "idlelib", "lib2to3", "test", "tests", "this", "tkinter", "turtle", "turtledemo"}

QUESTION = "split a string into words, keeping quoted parts together"  # the demo's query

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'`(\[A-Z])|\n\s*\n")
_SIGNATURE_LINE = re.compile(r"[\w.]+\(.*\)\s*(->.*)?")


@dataclass(frozen=True)
class DocumentedObject:
    """One class, function or method with a docstring of at least two sentences.

    `module` is the top-level module, the unit that is held out, without leading underscores, so `_socket` counts as
    `socket`. `parent` is the class that contains the object, or else its module.
    """

    name: str
    module: str
    parent: str
    query: str
    document: str


def read_objects() -> list[DocumentedObject]:
    """Return every documented object of the standard library, sorted by name; of several with one query, the first."""
    objects: dict[str, DocumentedObject] = {}
    with _silence():
        for module in _modules():
            for parent, name, value in _members(module):
                documented = _describe(parent, name, getattr(value, "__doc__", None), _signature(value))
                if documented:
                    objects.setdefault(documented.query, documented)
    return sorted(objects.values(), key=lambda item: item.name)


def read_package_objects(packages: Sequence[str]) -> list[DocumentedObject]:
    """Return every documented object in the source files of installed packages, which are not imported."""
    objects: dict[str, DocumentedObject] = {}
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder).with_suffix("")
            if "tests" in inside.parts:
                continue
            parent = ".".join([package, *inside.parts]).removesuffix(".__init__")
            for documented in _parsed(path, parent):
                objects.setdefault(documented.query, documented)
    return sorted(objects.values(), key=lambda item: item.name)


def held_out_modules(objects: Sequence[DocumentedObject], share: float, seed: int) -> set[str]:
    """Draw whole modules, by `seed`, until they contain `share` of the objects."""
    modules = sorted({item.module for item in objects})
    random.Random(seed).shuffle(modules)
    held_out: set[str] = set()
    for module in modules:
        if sum(item.module in held_out for item in objects) >= share * len(objects):
            break
        held_out.add(module)
    return held_out


def relevance(target: DocumentedObject, candidate: DocumentedObject) -> int:
    """Return 2 for the object itself, 1 for a sibling (same class, else same module), 0 for the rest."""
    if candidate.name == target.name:
        return 2
    return int(candidate.parent == target.parent)


def _modules() -> Iterator[ModuleType]:
    for name in sorted(_module_names(sorted(sys.stdlib_module_names))):
        module = _import(name)
        if module is not None:
            yield module


def _module_names(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name.rpartition(".")[2] in SKIPPED or name.startswith("_py"):  # Python versions of C modules
            continue
        yield name
        if "." not in name and not name.startswith("_"):
            path = getattr(_import(name), "__path__", [])
            yield from _module_names(f"{name}.{entry.name}" for entry in pkgutil.iter_modules(path))


def _import(name: str) -> ModuleType | None:
    """Import a module; None if this platform lacks it."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):
        return None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence the output and warnings of old modules."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _members(module: ModuleType) -> Iterator[tuple[str, str, object]]:
    """Yield (parent, name, value) of the public functions and classes that `module` defines, and their methods."""
    for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            yield module.__name__, name, value
            for method, function in sorted(vars(value).items(), key=lambda item: item[0]):
                if not method.startswith("_") and not inspect.isclass(function):
                    yield f"{module.__name__}.{name}", method, getattr(value, method, function)
        elif inspect.isroutine(value):
            yield module.__name__, name, value


def _parsed(path: Path, module: str) -> Iterator[DocumentedObject]:
    """Yield the public functions and classes of a source file, and their methods."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in strings
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # written for another Python version, or a template
            return
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for parent, body in [(module, tree.body), *((f"{module}.{node.name}", node.body) for node in classes)]:
        yield from filter(None, (_described_node(parent, node) for node in body))


def _described_node(parent: str, node: ast.stmt) -> DocumentedObject | None:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return None
    names = [argument.arg for argument in node.args.args] if isinstance(node, ast.FunctionDef) else []
    return _describe(parent, node.name, ast.get_docstring(node), f"({', '.join(names)})")


def _describe(parent: str, name: str, docstring: object, signature: str) -> DocumentedObject | None:
    if not isinstance(docstring, str):
        return None
    lines = inspect.cleandoc(docstring).split("\n")
    while lines and (not lines[0].strip() or _SIGNATURE_LINE.fullmatch(lines[0].strip())):
        lines.pop(0)
    parts = _SENTENCE_END.split("\n".join(lines), maxsplit=1)
    if len(parts) < 2 or not parts[1].strip():
        return None
    query = " ".join(re.sub(rf"\b{re.escape(name)}\b", " ", parts[0], flags=re.IGNORECASE).split())
    if len(re.findall(r"\w+", query)) < 3:
        return None
    document = f"{parent}.{name}{signature} {' '.join(parts[1].split())}"
    return DocumentedObject(f"{parent}.{name}", parent.partition(".")[0].lstrip("_"), parent, query, document)


def _signature(value: object) -> str:
    """Return the parameters, with constant defaults only: others may contain addresses or environment values."""
    try:
        parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    except Exception:  # some signatures of C modules cannot be parsed by inspect
        return "()"
    return f"({', '.join(_parameter(parameter) for parameter in parameters)})"


def _parameter(parameter: inspect.Parameter) -> str:
    plain = parameter.default is None or isinstance(parameter.default, int | float)
    return f"{parameter.name}={parameter.default}" if plain else parameter.name
