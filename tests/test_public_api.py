"""The public API is this list; everything in it says what it does."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, get_type_hints

import pytest

import plackett
from plackett.cross_encoder import Window
from plackett.explanations import Contribution

PUBLIC = [
    "CheckpointError",
    "CrossEncoder",
    "DataError",
    "HubError",
    "InputError",
    "LongDocuments",
    "MissingExtraError",
    "PlackettError",
    "RankedDocument",
    "RemoteError",
    "ScoreError",
    "SettingError",
    "TrainingError",
    "__version__",
    "rank_frame",
]

# The names of each package, the same as its `__all__`: a new name is added here on purpose.
FACES = {
    "plackett.bulk": ["Bulk", "Done", "bulk"],
    "plackett.calibration": ["Calibrated", "JudgedPairs", "Target", "calibrate"],
    "plackett.checkpoints": ["Checkpoint", "Model", "find_folder", "read_checkpoint"],
    "plackett.data": [
        "Columns",
        "ListFile",
        "check_columns",
        "check_matched",
        "checked_qrels",
        "checked_run",
        "lists_as_collection",
        "parse_columns",
        "read_collection",
        "read_documents",
        "read_lists",
        "read_qrels",
        "read_records",
        "read_run",
        "read_texts",
        "unmatched",
        "write_beir",
        "write_lists",
    ],
    "plackett.dialects": [
        "DIALECTS",
        "Answer",
        "Dialect",
        "Document",
        "Problem",
        "RerankRequest",
        "Span",
        "SpanOptions",
        "recognise",
    ],
    "plackett.engines": [
        "ENGINES",
        "PRECISIONS",
        "Engine",
        "EngineSettings",
        "EngineSpec",
        "FakeEngine",
        "Options",
        "Parts",
        "load_engine",
        "open_model",
    ],
    "plackett.evaluation": [
        "Comparison",
        "Measured",
        "compare",
        "compare_run",
        "evaluate",
        "evaluate_per_query",
        "mean_of",
        "table",
        "with_holm",
    ],
    "plackett.losses": ["LOSSES", "POSITION_WEIGHTS", "REDUCTIONS", "SCHEMES", "TIES", "Loss", "to_matrix"],
    "plackett.publishing": ["read_facts", "write_card"],
    "plackett.retrieval": [
        "BM25",
        "FIRST_STAGES",
        "FirstStage",
        "FirstStageSettings",
        "MiningSettings",
        "Splitting",
        "mine",
        "rerank_file",
        "with_bm25",
        "with_first_stage",
    ],
    "plackett.serving": ["Settings", "serve"],
    "plackett.tokenization": ["EncodedPairs", "LongDocuments", "PairTokenizer"],
}

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(plackett.__path__, "plackett.")
    if not module.name.endswith("__main__")
)


def test_the_public_names():
    assert plackett.__all__ == PUBLIC
    assert {name for name in PUBLIC if not hasattr(plackett, name)} == set()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.peer] * (name == "plackett.bulk")) for name in FACES]
)
def test_the_names_of_a_package(name):
    package = importlib.import_module(name)
    assert list(package.__all__) == FACES[name]
    assert {name for name in package.__all__ if not hasattr(package, name)} == set()


def test_every_face_is_listed():
    packages = [module.name for module in pkgutil.iter_modules(plackett.__path__, "plackett.") if module.ispkg]
    faces = {name for name in packages if hasattr(importlib.import_module(name), "__all__")}
    assert faces == set(FACES)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_every_public_name_is_documented(name):
    assert inspect.getdoc(getattr(plackett, name))


def test_the_version_is_that_of_the_package():
    assert plackett.__version__ == version("plackett")
    assert re.fullmatch(r"\d+\.\d+\.\d+", plackett.__version__)


def test_the_signatures_that_users_type():
    encoder = plackett.CrossEncoder
    options = "model engine device precision threads max_length long_documents"
    options += " revision local_files_only activation instruction positive_label allow_pickle trust_remote_code cache"
    assert list(inspect.signature(encoder).parameters) == options.split()
    for method, names in {
        "predict": "self pairs min_score show_progress errors",
        "score": "self pairs show_progress",
        "rank": "self query documents text top_k min_score return_documents return_windows explain instruction",
        "rank_many": "self queries documents text top_k min_score return_documents return_windows explain show_progress"
        " errors",
        "apredict": "self pairs min_score",
        "arank": "self query documents text top_k min_score return_documents return_windows explain instruction",
        "arank_many": "self queries documents text top_k min_score return_documents return_windows explain",
        "instructed": "self instruction",
        "one_lane": "self",
        "save_pretrained": "self folder",
    }.items():
        assert list(inspect.signature(getattr(encoder, method)).parameters) == names.split()
    assert get_type_hints(plackett.RankedDocument) == {
        "corpus_id": int,
        "score": float,
        "id": Any,
        "document": Mapping[str, Any],
        "text": str,
        "window": Window,
        "explanation": list[Contribution],
    }
    assert get_type_hints(Window) == {"start": int, "end": int}
    assert get_type_hints(Contribution) == {"start": int, "end": int, "text": str, "contribution": float}


def own(module):
    """Functions, classes and methods without an underscore that are defined in `module`."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"{module.__name__}.{name}", value
        for inner, method in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isfunction(method) and not inner.startswith("_"):
                yield f"{module.__name__}.{name}.{inner}", method


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.peer if ".integrations." in name or ".bulk" in name else [])
        for name in MODULES
    ],
)
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    undocumented = [path for path, value in own(module) if not inspect.getdoc(value)]
    assert undocumented == []


@pytest.mark.parametrize(
    "name", ["__init__", "predict", "score", "rank", "rank_many", "apredict", "arank", "arank_many"]
)
def test_options_are_named_and_nothing_is_passed_through(name):
    parameters = list(inspect.signature(getattr(plackett.CrossEncoder, name)).parameters.values())[1:]
    first = parameters.pop(0)
    assert first.default is (None if name == "__init__" else inspect.Parameter.empty)
    for parameter in parameters:
        assert parameter.kind in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
        has_default = parameter.default is not inspect.Parameter.empty
        assert has_default == (parameter.kind is inspect.Parameter.KEYWORD_ONLY), parameter
