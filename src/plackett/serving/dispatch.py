"""Choice of a request's dialect, by its path, its prefix and its body."""

from collections.abc import Mapping, Sequence

from plackett.dialects import DIALECTS, Dialect

INVOCATIONS, ROOT = "/invocations", "/"

# Prefix -> the dialects of that server; the last is the fallback.
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "tei": ("sentence_similarity", "tei"),
    "cohere": ("cohere",),
    "jina": ("jina",),
    "infinity": ("infinity",),
    "vllm": ("vllm_score", "vllm"),
    "llama_cpp": ("llama_cpp",),
    "llama.cpp": ("llama_cpp",),
    "voyage": ("voyage",),
    "mixedbread": ("mixedbread",),
    "nim": ("nim",),
    "isaacus": ("isaacus",),
    "deepinfra": ("deepinfra",),
}
RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")

TEI_PATHS = (ROOT, "/predict", INVOCATIONS, "/tokenize")

FALLBACKS = {ROOT: "tei"}  # for paths without Cohere's dialect; elsewhere the last dialect is the fallback


def routes() -> dict[str, tuple[Dialect, ...]]:
    """Return the dialects of each path; the last one is the fallback."""
    paths = {path for dialect in DIALECTS.values() for path in dialect.paths}
    return {path: _at(path) for path in sorted(paths)}


def prefixed_routes(prefix: str) -> dict[str, tuple[Dialect, ...]]:
    """Return the dialects of each path under a prefix."""
    dialects = tuple(DIALECTS[name] for name in PREFIXES[prefix])
    return {path: dialects for dialect in dialects for path in (*dialect.paths, *RERANK)}


def choose(dialects: Sequence[Dialect], body: object) -> Dialect:
    """Return the first dialect that recognises a body, otherwise the last."""
    if not isinstance(body, dict):
        return dialects[-1]
    return next((dialect for dialect in dialects if dialect.recognises(body)), dialects[-1])


def presumed(path: str) -> Dialect:
    """Return the dialect for the error response to an unreadable body."""
    prefix = path.lstrip("/").partition("/")[0]
    if prefix in PREFIXES:
        return DIALECTS[PREFIXES[prefix][-1]]
    return DIALECTS["tei" if path in TEI_PATHS else "cohere"]


def _at(path: str) -> tuple[Dialect, ...]:
    extra = ("vllm_score",) if path == INVOCATIONS else ()
    found = [dialect for dialect in DIALECTS.values() if path in dialect.paths or dialect.name in extra]
    names = [dialect.name for dialect in found]
    fallback = FALLBACKS.get(path) or ("cohere" if "cohere" in names else names[-1])
    return (*found, DIALECTS[fallback])
