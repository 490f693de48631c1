"""Real clients get the scores of the library, in the form that each of them reads.

Those of the development environment run always. `make clients` makes environments for the others, and names their
folder in PLACKETT_CLIENTS: `new` and `old`, because no environment holds both ages of some packages, and `js`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plackett
from server_process import started

pytestmark = [pytest.mark.process, pytest.mark.peer]

HERE = Path(__file__).parent
FOLDER = os.environ.get("PLACKETT_CLIENTS")
QUERY = "what do cats eat"
DOCUMENTS = ["steel prices rose again", "cats eat mice and birds", "the train is late", "most cats like fish"]
TOP = 3

# Environment -> calls of python_clients.py, and in `js` of node_clients.mjs.
CALLS = {
    "here": """cohere_v1 cohere_v1_objects cohere_v2 cohere_v2_async cohere_spans cohere_error huggingface_hub
        mixedbread openai openai_error voyageai""",
    "new": """isaacus haystack_tei haystack_jina haystack_cohere haystack_vllm haystack_nvidia
        langchain_jina langchain_nvidia langchain_reranker
        litellm_cohere litellm_jina litellm_proxy litellm_azure litellm_vllm litellm_vllm_v1 litellm_infinity
        litellm_huggingface litellm_voyage litellm_nvidia litellm_deepinfra litellm_fireworks
        llama_index_tei llama_index_jina llama_index_nvidia llama_index_xinference llama_index_siliconflow
        pymilvus rerankers_cohere rerankers_jina rerankers_mixedbread rerankers_tei rerankers_voyage
        together xinference zeroentropy""",
    "old": """cohere_v1 cohere_v1_objects cohere_v2 cohere_v2_async cohere_error
        infinity_client infinity_models langchain_cohere langchain_infinity langchain_voyage
        llama_index_cohere voyageai""",
    "js": "cohere_v1 cohere_v2 langchain ai_cohere ai_together huggingface mixedbread voyageai",
}
LOGITS = ("haystack_nvidia", "langchain_nvidia", "litellm_nvidia", "llama_index_nvidia")
RERANKERS = ("cohere", "jina", "mixedbread", "tei", "voyage")
IN_INPUT_ORDER = ("huggingface", "huggingface_hub", "litellm_deepinfra")
# Clients that send no number of results.
WHOLE = (
    *IN_INPUT_ORDER,
    *(f"rerankers_{name}" for name in RERANKERS),
    "infinity_client",
    "pymilvus",
)
TEXTS = {  # what calls return that rank nothing
    "cohere_error": "documents is empty",
    "openai_error": "documents is empty",
    "infinity_models": "infinity",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with started(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def logits():
    return plackett.CrossEncoder().score([(QUERY, text) for text in DOCUMENTS])[:, 0].astype(np.float64)


def command(kind):
    if kind == "here":
        return [sys.executable, HERE / "python_clients.py"]
    if FOLDER is None:
        pytest.skip("needs the environments of `make clients`")
    if kind == "js":
        node = shutil.which("node") or pytest.skip("needs node")
        return [node, HERE / "node_clients.mjs", Path(FOLDER, "js")]
    return [Path(FOLDER, kind, "bin", "python"), HERE / "python_clients.py"]


@pytest.fixture(scope="module", params=CALLS)
def results(request, server, tmp_path_factory):
    """What the calls of one environment returned, by name: all run in one process, because imports take seconds."""
    run = [*command(request.param), f"http://127.0.0.1:{server.port}", *CALLS[request.param].split()]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(run, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))


def check(name, found, logits):
    if name in TEXTS:
        assert found == TEXTS[name]
        return
    assert not isinstance(found, str), found
    scores = logits if name in LOGITS else 1 / (1 + np.exp(-logits))
    order = np.arange(len(DOCUMENTS)) if name in IN_INPUT_ORDER else np.argsort(-logits)
    indices = [DOCUMENTS.index(item) if item in DOCUMENTS else item for item, _ in found]
    assert indices == order[: len(found)].tolist()
    assert len(found) == (len(DOCUMENTS) if name in WHOLE else TOP)
    np.testing.assert_allclose([score for _, score in found], scores[indices], rtol=1e-4)


def test_every_client_reads_the_scores_of_the_library(results, logits, subtests):
    assert results
    for name, found in results.items():
        with subtests.test(name):
            check(name, found, logits)
