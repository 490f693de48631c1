"""`plackett verify`: nothing between a checkpoint and itself, the real differences between two models."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from scipy.stats import kendalltau

from bare import BLOCKER
from plackett import CrossEncoder, InputError, SettingError
from plackett.data import read_collection
from plackett.engines.remote import connection
from plackett.evaluation import evaluate
from plackett.evaluation.probes import DOCUMENTS, QUERIES, probes
from plackett.records import ScoredDoc
from plackett.workflows.verify import figures, open_side, report, verify
from rerank_server import running_server
from tiny import TEXTS, token_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def changed(bert, tmp_path_factory):
    """The tiny BERT with one word's embedding changed: pairs without that word score as before."""
    folder = tmp_path_factory.mktemp("changed") / "model"
    shutil.copytree(bert, folder)
    weights = load_file(folder / "model.safetensors")
    token = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]["the"]
    weights["bert.embeddings.word_embeddings.weight"][token] *= -1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def lists(tmp_path):
    """Four lists of twelve documents with labels."""
    path = tmp_path / "lists.jsonl"
    rows = [
        {"query": TEXTS[start], "docs": TEXTS[start + 1 : start + 13], "labels": [1, *[0] * 5, 2, *[0] * 5]}
        for start in range(0, 52, 13)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_checkpoint_agrees_with_itself(bert):
    done = verify(str(bert), str(bert), probes())
    found = done.agreement
    assert (found.largest, found.mean, found.tau, found.overlap) == (0, 0, 1, 1)
    assert done.within
    assert (found.pairs, found.queries) == (len(QUERIES) * len(DOCUMENTS), len(QUERIES))


def test_what_differs_is_what_an_independent_computation_finds(bert, changed, lists):
    collection = read_collection(lists)
    done = verify(str(bert), str(changed), collection)
    keys = [(scored.query_id, scored.doc_id) for scored in collection.run]
    pairs = [(collection.queries[query], collection.corpus[document]) for query, document in keys]
    scores = [CrossEncoder(folder).score(pairs)[:, 0] for folder in (bert, changed)]
    differences = np.abs(scores[0] - scores[1])
    found = done.agreement
    assert found.largest == pytest.approx(differences.max(), rel=1e-5)
    assert found.mean == pytest.approx(differences.mean(), rel=1e-5)
    worst = [pairs[index] for index in np.argsort(-differences)[:5]]
    assert [(pair.query, pair.document) for pair in done.worst] == worst
    of_query = np.array([query for query, _ in keys])
    taus = [kendalltau(*(side[of_query == query] for side in scores)).statistic for query in {*of_query.tolist()}]
    assert found.tau == pytest.approx(np.mean(taus))
    runs = [[ScoredDoc(*key, float(s)) for key, s in zip(keys, side, strict=True)] for side in scores]
    expected = [evaluate(run, collection.qrels, ["nDCG@10"])["nDCG@10"] for run in runs]
    assert done.measured == pytest.approx(expected)
    assert not done.within


def test_the_worst_pairs_come_with_their_token_ids(bert, changed):
    done = verify(str(bert), str(changed), probes())
    pair = done.worst[0]
    ids = tuple(token_rows(CrossEncoder(bert).encode([(pair.query, pair.document)])).token_ids.tolist())
    assert pair.token_ids_a == pair.token_ids_b == ids
    text = report(done)
    assert f"tokens    {' '.join(map(str, ids[:16]))}" in text
    assert text.count("the same on both sides") == 5
    assert all(" ".join(pair.document.split())[:90] in text for pair in done.worst)
    assert max(map(len, text.splitlines())) < 200, "texts and token ids are cut"
    assert text.splitlines()[-1] == "A AND B DISAGREE: tolerance 0.0001"


def test_a_tokenizer_that_differs_is_seen(bert, tmp_path):
    """No lower case: other ids, and a report that shows both."""
    shutil.copytree(bert, tmp_path / "cased")
    path = tmp_path / "cased" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    settings = tmp_path / "cased" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"do_lower_case": False}))
    done = verify(str(bert), str(tmp_path / "cased"), probes())
    assert any(pair.token_ids_a != pair.token_ids_b for pair in done.worst)
    assert "tokens A" in report(done)
    assert "tokens B" in report(done)


def test_a_server_is_a_side(bert, monkeypatch):
    monkeypatch.delenv(connection.KEY, raising=False)
    local = CrossEncoder(bert)

    def logits(pairs):
        return local.score(pairs)[:, 0] + np.array([document == "bread" for _, document in pairs], np.float32) / 4

    with running_server("tei", logits) as server:
        done = verify(str(bert), server.url, probes(), tolerance=0.26)
    assert done.within
    assert done.agreement.largest == pytest.approx(0.25, abs=1e-5)
    assert [pair.document for pair in done.worst[:4]] == ["bread"] * 4
    assert all(pair.token_ids_b is None and pair.token_ids_a for pair in done.worst)
    assert report(done).count("tokens B  at the server") == 5


def test_several_labels_are_compared_in_value(tiny):
    folder = str(tiny("bert", 3))
    done = verify(folder, folder, probes())
    assert (done.agreement.largest, done.agreement.tau) == (0, None)
    assert "several labels" in report(done)


def test_sides_of_different_labels_are_refused(bert, tiny):
    with pytest.raises(SettingError, match=r"has 1 labels and .* 3: there is nothing to compare"):
        verify(str(bert), str(tiny("bert", 3)), probes())


def test_the_depth_cuts_the_candidates(bert, lists):
    assert verify(str(bert), str(bert), read_collection(lists), depth=3).agreement.pairs == 12


def test_a_side_names_its_engine_and_precision(bert, tmp_path):
    assert open_side(f"{bert}@torch").score([("a", "b")]) == open_side(str(bert)).score([("a", "b")])
    for side, message in (("@torhc", "did you mean 'torch'"), ("@torch:fp23", "precision 'fp23'")):
        with pytest.raises(SettingError, match=message):
            open_side(f"{bert}{side}")
    shutil.copytree(bert, tmp_path / "model@2")
    assert open_side(str(tmp_path / "model@2")).checkpoint.folder.name == "model@2"


def test_an_empty_query_is_an_error(bert, lists):
    collection = read_collection(lists)
    empty = type(collection)("x", dict.fromkeys(collection.queries, " "), collection.corpus, (), collection.run)
    with pytest.raises(InputError, match="the query of pair 0 is empty"):
        verify(str(bert), str(bert), empty)


def test_the_probes_are_of_many_kinds():
    collection = probes()
    assert len(collection.run) == len(QUERIES) * len(DOCUMENTS) > 40
    lengths = [len(text) for text in DOCUMENTS]
    assert min(lengths) < 5
    assert max(lengths) > 4000
    scripts = [range(0x370, 0x400), range(0x400, 0x500), range(0x590, 0x600), range(0x600, 0x700), range(0x900, 0x980)]
    scripts += [range(0xE00, 0xE80), range(0x3040, 0x3100), range(0x4E00, 0xA000), range(0xAC00, 0xD7B0)]
    for script in scripts:
        assert any(ord(letter) in script for text in DOCUMENTS for letter in text), hex(script.start)


# The command.


def test_the_command_says_0_where_both_agree(run, bert, lists):
    for data in ([], ["--data", lists]):
        code, out, _ = run("verify", bert, f"{bert}@torch", *data)
        assert (code, out.splitlines()[-1]) == (0, "A and B agree: tolerance 0.0001")
    assert "nDCG@10" in out


def test_the_command_says_1_beyond_the_tolerance(run, bert, changed, lists):
    code, out, _ = run("verify", bert, changed, "--data", lists, "--json")
    found = json.loads(out)
    assert (code, found["within"]) == (1, False)
    assert found == json.loads(json.dumps(figures(verify(str(bert), str(changed), read_collection(lists)))))
    assert len(found["worst"]) == 5
    code, out, _ = run("verify", bert, changed, "--tolerance", 1000)
    assert (code, out.splitlines()[-1]) == (0, "A and B agree: tolerance 1000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing/model"], "there is no folder missing/model"),
        (["{bert}@nonsense"], "unknown engine 'nonsense'"),
        (["http://127.0.0.1:9"], "127.0.0.1:9 cannot be reached"),
        (["{bert}", "--data", "missing.jsonl"], "missing.jsonl"),
        (["{bert}", "--tolerance", "-1"], "--tolerance"),
    ],
)
def test_the_command_says_2_for_a_user_s_mistake(run, bert, arguments, message):
    code, out, err = run("verify", bert, *(argument.replace("{bert}", str(bert)) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.process
def test_the_built_in_texts_need_no_extra(bert, monkeypatch):
    """Two servers compared on the bare install."""
    local = CrossEncoder(bert)
    code = "import runpy; sys.argv[0] = 'plackett'; runpy.run_module('plackett', run_name='__main__')"
    with running_server("tei", lambda pairs: local.score(pairs)[:, 0]) as server:
        command = [sys.executable, "-c", BLOCKER + code, "verify", server.url, f"{server.url}/rerank"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "A and B agree" in done.stdout
