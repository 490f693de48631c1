"""What this machine and a checkpoint offer."""

import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch

from layouts import causal, ettin, listwise, logit_score
from plackett import _hardware as cpu
from plackett._hardware import usable_threads
from plackett.engines.loading import ENGINES
from plackett.models.classifier import load_model
from plackett.workflows import info


def test_the_machine(run):
    code, output, errors = run("info", "--json")
    found = json.loads(output)
    assert (code, errors) == (0, "")
    assert found["versions"]["plackett"] == importlib.metadata.version("plackett")
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert found["threads"] == usable_threads()
    assert [engine["name"] for engine in found["engines"]] == list(ENGINES)
    assert found["automatic"] == "torch"
    assert found["checkpoint"] is None


@pytest.mark.skipif(not torch.cpu.is_available() or not cpu.CPUINFO.exists(), reason="Linux tells, others do not")
def test_instructions_are_those_that_torch_sees():
    found = info.read_info()
    assert ("avx2" in found.instructions) == torch.cpu._is_avx2_supported()
    assert ("avx512f" in found.instructions) == torch.cpu._is_avx512_supported()
    assert ("avx512_bf16" in found.instructions) == torch.cpu._is_avx512_bf16_supported()


def test_a_checkpoint(run, tiny, checkpoint, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(tiny("bert", 3), folder)
    for file in (
        "onnx/model.onnx",
        "onnx/model_int8.onnx",
        "openvino/openvino_model.xml",
        "openvino/openvino_model.bin",
        "plackett.json",
    ):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("{}")
    code, output, _ = run("info", folder, "--json")
    found = json.loads(output)["checkpoint"]
    assert code == 0
    assert found | {"parameters": 0} == {
        "source": str(folder),
        "folder": str(folder),
        "layout": "classifier",
        "code": [],
        "model_type": "bert",
        "parameters": 0,
        "weights": ["F32"],
        "labels": 3,
        "head": "several labels (LABEL_0, LABEL_1, LABEL_2); to rank, name one with positive_label",
        "template": "none: pairs of texts",
        "max_length": checkpoint.max_length,
        "window": None,
        "memory": [
            {"engine": "torch", "precision": "fp32", "bytes": 4 * found["parameters"]},
            {"engine": "torch", "precision": "bf16", "bytes": 2 * found["parameters"]},
            {"engine": "onnx", "precision": "fp32", "bytes": 2},
            {"engine": "onnx", "precision": "int8", "bytes": 2},
            {"engine": "openvino", "precision": "fp32", "bytes": 4},
            {"engine": "openvino", "precision": "bf16", "bytes": 4},
        ],
        "activation": "identity",
        "exports": [
            {"engine": "onnx", "precision": "fp32", "file": "onnx/model.onnx"},
            {"engine": "onnx", "precision": "int8", "file": "onnx/model_int8.onnx"},
            {"engine": "openvino", "precision": "fp32", "file": "openvino/openvino_model.xml"},
        ],
        "facts": True,
    }


def test_parameters_are_counted(bert, checkpoint):
    contents = info.read_info(str(bert)).checkpoint
    assert contents.parameters == sum(weights.numel() for weights in load_model(checkpoint).parameters())


def test_a_folder_of_graphs_alone(run, bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "mine", ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").touch()
    _, output, _ = run("info", folder)
    lines = dict(line.split("  ", 1) for line in output.splitlines())
    assert lines["model"].strip() == "bert, exports only"
    assert lines["engine auto"].strip() == "onnx"


def test_for_people(run, bert, monkeypatch):
    monkeypatch.setattr(info, "is_installed", lambda name: name != "torch")
    code, output, _ = run("info", bert)
    lines = dict(line.split("  ", 1) for line in output.splitlines())
    assert code == 0
    assert lines["engine torch"].strip() == "not installed: pip install 'plackett[train]'"
    assert lines["labels"].strip() == "1"
    assert lines["activation"].strip() == "sigmoid"
    assert lines["facts"].strip().startswith("none")


def test_a_checkpoint_that_is_not_there(run, tmp_path):
    code, output, errors = run("info", tmp_path / "nothing")
    assert (code, output) == (2, "")
    assert len(errors.splitlines()) == 1


@pytest.mark.process
def test_nothing_heavy_is_imported(bert):
    code = "from plackett.workflows.info import read_info; read_info(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}", str(bert)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n", done.stderr


def rows_of(run, folder):
    code, output, _ = run("info", folder)
    assert code == 0
    return {name.strip(): value.strip() for name, value in (line.split("  ", 1) for line in output.splitlines())}


@pytest.mark.peer
def test_layouts_are_described(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with_modules = logit_score(tmp_path / "st", causal(tmp_path / "lm"))
    known = causal(tmp_path / "bge-reranker-v2-gemma")
    expected = {
        with_modules: ("causal language model, converted to ", "one label: yes minus no"),
        known: ("causal language model, converted to ", "one label: Yes"),
        ettin(tmp_path): ("chain of modules, converted to ", "one label"),
        listwise(tmp_path / "jina"): ("listwise reranker", "lists of documents"),
    }
    for folder, (layout, head) in expected.items():
        rows = rows_of(run, folder)
        assert rows["checkpoint"] == str(folder)
        assert rows["layout"].startswith(layout)
        assert rows["head"] == head
    found = json.loads(run("info", with_modules, "--json")[1])["checkpoint"]
    assert found["source"] == str(with_modules)
    assert pathlib.Path(found["folder"]).is_relative_to(tmp_path / "cache")


def test_code_is_shown_and_not_run(run, bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "own")
    text = "raise SystemError('this code must not run')\n"
    (folder / "modeling.py").write_text(text)
    config = json.loads((folder / "config.json").read_text())
    code_map = {"AutoModelForSequenceClassification": "modeling.Own"}
    changed = config | {"auto_map": code_map, "architectures": ["OwnForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(changed))
    rows = rows_of(run, folder)
    assert hashlib.sha256(text.encode()).hexdigest() in rows["code"]
    assert "--trust-remote-code" in rows["code"]
