"""The page at / in a real browser: light and dark, wide and narrow, by keyboard, with nothing from elsewhere."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plackett
from plackett.checkpoints import bundled
from server_process import started

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.slow]

QUERY = "what do cats eat"
DOCUMENTS = ["🙂 Steel prices rose again.", "The train is late. 🙂 Cats eat mice and birds.", "<b>a train</b> & more"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = bundled.folder()
    with started(tmp_path_factory.mktemp("server"), "--model", f"one={folder}", "--model", f"two={folder}") as made:
        yield made


@pytest.fixture(params=[("light", 1200), ("dark", 380)], ids=str)
def tab(request, browser, server):
    scheme, width = request.param
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    fetched, complaints = [], []
    tab.on("request", lambda asked: fetched.append(asked.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"http://127.0.0.1:{server.port}/")
    tab.wait_for_selector("#model option", state="attached")
    yield tab
    assert {url.split("/")[2] for url in fetched} == {f"127.0.0.1:{server.port}"}
    assert complaints == []
    tab.close()


def rank(tab, documents=DOCUMENTS):
    tab.fill("#query", QUERY)
    tab.fill("#documents", "\n".join(documents))
    tab.click("#go")
    tab.wait_for_selector("#results li", timeout=60_000)


def violations(tab):
    """What axe-core finds, by rule."""
    tab.evaluate(Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js").read_text())
    found = tab.evaluate("axe.run()")
    return {item["id"]: [node["html"] for node in item["nodes"]] for item in found["violations"]}


def test_documents_are_ordered_with_their_scores_and_sentences(tab):
    rank(tab)
    logits = plackett.CrossEncoder().score([(QUERY, text) for text in DOCUMENTS])[:, 0].astype(float)
    order = np.argsort(-logits)
    shown = tab.locator("#results li p:last-child").all_inner_texts()
    assert shown == [DOCUMENTS[index] for index in order]
    numbers = tab.locator("#results li .quiet").all_inner_texts()
    scores = [float(re.search(r"score (-?[\d.]+)", text)[1]) for text in numbers]
    probabilities = [float(re.search(r"probability ([\d.]+)", text)[1]) for text in numbers]
    np.testing.assert_allclose(scores, logits[order], atol=1e-3)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits[order])), atol=1e-4)
    assert "up 1" in numbers[0]
    assert tab.locator("#results mark").all_inner_texts() == ["🙂 Cats eat mice and birds."]
    assert re.search(r"3 results, \d+ tokens, \d+ ms", tab.inner_text("#results"))
    assert violations(tab) == {}
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_two_models_are_compared(tab):
    tab.select_option("#other", "two")
    rank(tab)
    assert tab.locator("#results h2").all_inner_texts() == ["one", "two"]
    assert tab.locator("#results li").count() == 6


def test_a_file_is_read_and_an_error_is_told(tab, tmp_path):
    files = {
        "a.jsonl": "\n".join(json.dumps({"text": text}) for text in DOCUMENTS),
        "a.json": json.dumps(DOCUMENTS),
        "a.txt": "\n".join(DOCUMENTS),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        tab.set_input_files("#file", tmp_path / name)
        tab.wait_for_selector(f"#status:has-text('{name}: 3 documents')")
        assert tab.input_value("#documents") == "\n".join(DOCUMENTS)
    (tmp_path / "bad.json").write_text("{")
    tab.set_input_files("#file", tmp_path / "bad.json")
    tab.wait_for_selector("#error:not(:empty)")
    assert "bad.json" in tab.inner_text("[role=alert]")


def test_it_works_by_keyboard_alone(tab):
    tab.locator("#query").focus()
    tab.keyboard.type(QUERY)
    tab.keyboard.press("Tab")
    tab.keyboard.type(DOCUMENTS[0])
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#results li", timeout=60_000)
    assert tab.inner_text("[role=status]") == "Ranked 1 document."


@pytest.mark.parametrize("tab", [("light", 1200)], indirect=True, ids=str)
def test_a_snippet_is_selected_where_there_is_no_clipboard(tab):
    rank(tab)
    tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    tab.click("#share summary:has-text('curl')")
    tab.click("#share details:has-text('curl') button")
    tab.wait_for_selector("#status:has-text('Selected the curl snippet')")
    assert tab.evaluate("getSelection().toString()").startswith("curl ")


@pytest.mark.parametrize("tab", [("light", 1200)], indirect=True, ids=str)
def test_the_snippets_give_the_same_scores(tab, tmp_path):
    rank(tab, ['it\'s a "train" & $HOME \\n', *DOCUMENTS])
    codes = dict(zip(*(tab.locator(f"#share {tag}").all_text_contents() for tag in ("summary", "pre")), strict=True))
    assert list(codes) == ["curl", "Python", "JavaScript"]
    (tmp_path / "it.mjs").write_text(codes["JavaScript"], encoding="utf-8")
    runs = {"curl": ["bash", "-c", codes["curl"]], "Python": [sys.executable, "-c", codes["Python"]]}
    if shutil.which("node"):
        runs["JavaScript"] = ["node", tmp_path / "it.mjs"]
    if not shutil.which("curl"):
        del runs["curl"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    output = {
        name: subprocess.run(run, capture_output=True, check=True, env=environment).stdout.decode()
        for name, run in runs.items()
    }
    if "curl" in output:
        results = json.loads(output.pop("curl"))["results"]
        assert len(results) == 4
    for text in output.values():
        assert len(text.splitlines()) == 4
        assert DOCUMENTS[1] in text.splitlines()[0]
