"""`plackett publish` and downloads with the real client, against a small hub on this machine."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hub_server import TOKEN, XET_TOKEN, Fault, running_hub, use_hub
from plackett import CheckpointError, CrossEncoder, HubError, SettingError
from plackett.checkpoints.hub import find_file
from plackett.data.nanobeir import read_nanobeir
from plackett.publishing.card import render, write_card
from plackett.publishing.collect import described, usage
from plackett.publishing.publish import publish
from plackett.publishing.storage import read_facts
from plackett.workflows.export import export
from plackett.workflows.info import read_info
from plackett.workflows.train import train as run_recipe
from tiny import DOCUMENTS, PAIRS, QUERY

# What huggingface-hub 2.4 does itself with httpx2.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def with_card(bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("with-card") / "mine"
    CrossEncoder(bert).save_pretrained(folder)
    shown = usage(CrossEncoder(bert), QUERY, DOCUMENTS)
    write_card(folder, replace(described(folder), usage=shown))
    return folder


@pytest.fixture
def model(with_card, tmp_path):
    """A checkpoint with a card."""
    return shutil.copytree(with_card, tmp_path / "mine")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache", token=TOKEN)
        yield hub


def test_what_is_published_comes_back_as_it_was(hub, model, run, monkeypatch, tmp_path):
    code, out, error = run("publish", model, "org/name")
    assert code == 0, error
    assert out.startswith(f"{hub.url}/org/name/commit/")
    files = hub.files("org/name")
    assert files.keys() == {path.relative_to(model).as_posix() for path in model.rglob("*")}
    for name in files.keys() - {"README.md", "plackett.json"}:
        assert files[name] == (model / name).read_bytes()
    again = CrossEncoder("org/name")
    np.testing.assert_array_equal(again.predict(PAIRS), CrossEncoder(model).predict(PAIRS))
    card = (again.checkpoint.folder / "README.md").read_text()
    assert "CrossEncoder('org/name')" in card
    assert card == render(read_facts(again.checkpoint.folder))
    assert "org/name" not in (model / "README.md").read_text(), "the folder itself is not changed"
    assert len(hub.asked("PUT /objects/")) == 1
    assert len(hub.asked("POST /verify")) == 1


@pytest.fixture
def xet_hub(hub, monkeypatch, tmp_path):
    """The hub with large files sent by Xet, which the client prefers wherever hf_xet is installed: by default."""
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    use_hub(monkeypatch, hub.url, tmp_path / "cache", token=TOKEN, xet=True)
    return hub


def test_by_xet_too_what_is_published_comes_back_as_it_was(xet_hub, model, tmp_path):
    publish(model, "org/name")
    for name, content in xet_hub.files("org/name").items():
        assert name in {"README.md", "plackett.json"} or content == (model / name).read_bytes()
    assert xet_hub.asked("PUT /objects/") == []
    assert len(xet_hub.asked("POST /v1/shards")) == 1
    again = CrossEncoder("org/name")
    assert (again.checkpoint.folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert len(xet_hub.asked("GET /v1/reconstructions/")) == 1
    assert xet_hub.asked("GET /objects/") == []
    np.testing.assert_array_equal(again.predict(PAIRS), CrossEncoder(model).predict(PAIRS))


@pytest.mark.parametrize(
    "fault", [Fault("POST /v1/xorbs/", 503), Fault("POST /v1/xorbs/", drop=0), Fault("POST /v1/shards", 429)]
)
def test_by_xet_what_fails_once_is_tried_again(xet_hub, model, fault):
    xet_hub.faults.append(fault)
    publish(model, "org/name")
    assert len(xet_hub.asked(fault.where)) == 2
    assert xet_hub.files("org/name")["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_by_xet_an_interrupted_publication_goes_on_with_what_is_missing(xet_hub, model):
    xet_hub.faults.append(Fault("/commit/", 403, body='{"error": "later"}'))
    with pytest.raises(HubError):
        publish(model, "org/name")
    assert xet_hub.files("org/name") == {}
    publish(model, "org/name")
    assert len(xet_hub.asked("POST /v1/xorbs/")) == 1, "the weights went up the first time"
    assert "model.safetensors" in xet_hub.files("org/name")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("xet-write-token", 401), "token is missing or not valid: set HF_TOKEN"),
        (Fault("xet-write-token", 403), "token lacks permission"),
        (Fault("POST /v1/xorbs/", 400), "400 Bad Request"),
    ],
)
def test_by_xet_refusals_are_one_clear_error_without_the_token(xet_hub, model, fault, message, capfd):
    xet_hub.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        publish(model, "org/name")
    shown = "".join((str(caught.value), *capfd.readouterr()))
    assert TOKEN not in shown
    assert XET_TOKEN not in shown


def test_by_xet_a_download_whose_connection_drops_is_whole_in_the_end(xet_hub, model):
    publish(model, "org/name")
    xet_hub.faults += [Fault("GET /xorbs/", drop=20_000), Fault("GET /v1/reconstructions/", 503)]
    folder = CrossEncoder("org/name").checkpoint.folder
    assert (folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert len(xet_hub.asked("GET /xorbs/")) == 2


def test_the_same_again_sends_nothing(hub, model):
    publish(model, "org/name")
    commits = len(hub.repositories["org/name"].commits)
    hub.requests.clear()
    publish(model, "org/name")
    assert len(hub.repositories["org/name"].commits) == commits
    assert hub.asked("PUT") == hub.asked("/commit/") == []


def test_a_private_repository_a_branch_and_a_pull_request(hub, model, monkeypatch, tmp_path):
    publish(model, "org/name", private=True, revision="v2")
    repository = hub.repositories["org/name"]
    assert repository.private
    assert hub.files("org/name") == {}
    assert "config.json" in hub.files("org/name", "v2")
    publish(model, "org/name", revision="v2")
    done = publish(model, "org/name", create_pr=True)
    assert done.url == f"{hub.url}/org/name/discussions/1"
    assert "config.json" in hub.files("org/name", "refs/pr/1")
    assert hub.files("org/name") == {}
    for revision in ("v2", repository.branches["v2"], "refs/pr/1"):
        np.testing.assert_array_equal(
            CrossEncoder("org/name", revision=revision).predict(PAIRS), CrossEncoder(model).predict(PAIRS)
        )
    with pytest.raises(HubError, match="'v3'"):
        CrossEncoder("org/name", revision="v3")
    use_hub(monkeypatch, hub.url, tmp_path / "cache of another")
    with pytest.raises(HubError, match="HF_TOKEN"):
        CrossEncoder("org/name")


def test_a_dry_run_checks_everything_and_asks_nobody(hub, model, run):
    code, out, error = run("publish", model, "org/name", "--dry-run")
    assert (code, hub.requests) == (0, [])
    assert "nothing was sent" in out
    for path in model.iterdir():
        assert path.name in error
    size = (model / "model.safetensors").stat().st_size
    assert f"{size:,} bytes  model.safetensors" in error
    (model / "README.md").write_text("changed")
    assert run("publish", model, "org/name", "--dry-run")[0] == 2


def test_what_is_no_part_of_a_checkpoint_stays_here(hub, model):
    for name in (".env", "optimizer.pt", "checkpoint-5/model.safetensors", "pytorch_model.bin", ".cache/x"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("secret")
    (model / "openvino").mkdir()
    (model / "openvino" / "openvino_model.bin").write_text("weights")
    sent = {file.path for file in publish(model, "org/name", dry_run=True).files}
    assert "openvino/openvino_model.bin" in sent
    assert not {name for name in sent if ".env" in name or "pt" in name.rsplit(".")[-1:] or "checkpoint" in name}
    assert "pytorch_model.bin" not in sent


def test_paths_of_this_machine_do_not_leave_it(hub, bert, tmp_path):
    """The recipe is published with names, as the card has them; the folder's own is left as it is."""
    home = tmp_path / "home-of-somebody"
    for folder in ("one", "two", "beir/qrels"):
        (home / folder).mkdir(parents=True)
    rows = [{"query": f"apple {n}", "docs": ["the apple", "a pear"], "labels": [1, 0]} for n in range(4)]
    for name in ("one/lists.jsonl", "two/lists.jsonl", "test.jsonl"):
        (home / name).write_text("\n".join(map(json.dumps, rows)))
    (home / "base").symlink_to(bert)
    values = {
        "base": f"{home}/base",
        "train": {f"{home}/one/lists.jsonl": 0.5, f"{home}/two/lists.jsonl": 1},
        "test": f"{home}/test.jsonl",
        "output": f"{home}/models/mine",
        "training": {"max_steps": 1, "bf16": False, "output_dir": f"{home}/work", "hub_token": "hf_mine"},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    model = run_recipe(tmp_path / "recipe.json").folder
    before = (model / "recipe.json").read_bytes()
    publish(model, "org/name")
    for name, content in hub.files("org/name").items():
        assert str(tmp_path).encode() not in content, name
        assert b"somebody" not in content, name
        assert b"hf_mine" not in content, name
    recipe = json.loads(hub.files("org/name")["recipe.json"])
    assert (recipe["base"], recipe["output"], recipe["test"]) == ("base", "mine", ["test.jsonl"])
    assert recipe["train"] == {"lists.jsonl": 0.5, "lists.jsonl (2)": 1.0}
    assert recipe["training"] == {"max_steps": 1, "bf16": False}
    assert (model / "recipe.json").read_bytes() == before


def broken_facts(model):
    (model / "plackett.json").unlink()


def edited_card(model):
    (model / "README.md").write_text((model / "README.md").read_text().replace("0.", "1."))


def no_card(model):
    (model / "README.md").unlink()


def edited_facts(model):
    values = json.loads((model / "plackett.json").read_text())
    values["model"]["name"] = "another"
    (model / "plackett.json").write_text(json.dumps(values))


def other_weights(model):
    weights = load_file(model / "model.safetensors")
    save_file({name: weight * 0.5 for name, weight in weights.items()}, model / "model.safetensors", {"format": "pt"})


def half_a_file(model):
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[: len(content) // 2])


def other_activation(model):
    CrossEncoder(model, activation="identity").save_pretrained(model)


def link_to_a_secret(model):
    (model.parent / "id_rsa").write_text("secret")
    (model / "notes.txt").symlink_to(model.parent / "id_rsa")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken_facts, r"no plackett\.json.*: plackett card"),
        (edited_card, r"README\.md does not match plackett\.json; render it again: plackett card"),
        (no_card, r"README\.md does not match"),
        (edited_facts, r"README\.md does not match"),
        (other_weights, "does not reproduce the scores"),
        (half_a_file, "is damaged or incomplete"),
        (other_activation, "made for another activation or token limit"),
        (link_to_a_secret, "is a link to .*, outside the checkpoint"),
    ],
)
def test_a_folder_that_is_not_fit_is_not_published(hub, model, change, message):
    change(model)
    with pytest.raises(CheckpointError, match=message):
        publish(model, "org/name")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("POST /api/repos/create", 401), "token is missing or not valid: set HF_TOKEN"),
        (Fault("POST /api/repos/create", 403, body='{"error": "no rights"}'), "token lacks permission"),
        (Fault("/preupload/", 404), "repository or branch does not exist"),
        (Fault("/commit/", 409, body='{"error": "conflict"}'), "at the same time: try again"),
        (Fault("/commit/", 412, body='{"error": "A commit has happened since"}'), "at the same time: try again"),
        (Fault("/commit/", 500, body='{"error": "Authorization was AUTHORIZATION"}'), "could not be published"),
        (Fault("/commit/", 400, body='{"error": "you sent AUTHORIZATION"}'), r"you sent Bearer \[token\]"),
    ],
)
def test_refusals_are_one_clear_error_without_the_token(hub, model, fault, message, run, caplog):
    hub.faults.append(fault)
    code, out, error = run("publish", model, "org/name")
    assert code == 2
    assert len(error.strip().splitlines()[-1].split("plackett: ")) == 2
    hub.faults.append(replace(fault, times=1))
    with pytest.raises(HubError, match=message) as caught:
        publish(model, "org/name")
    assert TOKEN not in "".join((out, error, str(caught.value), caplog.text))


def test_a_pause_that_the_hub_asks_for_is_made(hub, model):
    hub.faults.append(Fault("/preupload/", 429, {"Retry-After": "0"}))
    publish(model, "org/name")
    assert len(hub.asked("/preupload/")) == 2
    assert "config.json" in hub.files("org/name")


def test_an_interrupted_publication_goes_on_with_what_is_missing(hub, model):
    hub.faults.append(Fault("/commit/", 403, body='{"error": "later"}'))
    with pytest.raises(HubError):
        publish(model, "org/name")
    assert hub.files("org/name") == {}, "a commit is whole or not at all"
    publish(model, "org/name")
    assert len(hub.asked("PUT /objects/")) == 1, "the weights went up the first time"
    assert "model.safetensors" in hub.files("org/name")


def test_an_upload_whose_connection_drops_is_tried_again(hub, model):
    hub.faults.append(Fault("PUT /objects/", drop=0))
    hub.faults.append(Fault("PUT /objects/", 503))
    publish(model, "org/name")
    assert len(hub.asked("PUT /objects/")) >= 2


def test_without_a_network_nobody_is_asked(hub, model, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        publish(model, "org/name")
    assert publish(model, "org/name", dry_run=True).files
    assert hub.requests == []


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def graph(bert, tmp_path_factory):
    """A folder that holds an onnx graph and no weights."""
    return export(str(bert), engine="onnx", output=tmp_path_factory.mktemp("graph") / "alone").folder


@pytest.fixture
def both(hub, bert, graph):
    """A repository with weights and graphs, of which only the first is a true one."""
    others = ["onnx/model_int8.onnx", "openvino/openvino_model.xml", "openvino/openvino_model.bin", "openvino/x.xml"]
    hub.add("org/both", content_of(graph) | content_of(bert) | {name: name.encode() for name in others})
    return "org/both"


def fetched(hub):
    """The weights and graphs that were asked for since the last time."""
    names = {request.split()[1].partition("/resolve/")[2].partition("/")[2] for request in hub.asked("/resolve/")}
    hub.requests.clear()
    return {name for name in names if not name.endswith((".json", ".txt", ".md"))}


def test_a_graph_alone_is_published_and_runs_with_its_card(hub, graph):
    publish(graph, "org/graph")
    again = CrossEncoder("org/graph")
    assert fetched(hub) == {"onnx/model.onnx"}
    np.testing.assert_array_equal(again.predict(PAIRS), CrossEncoder(graph).predict(PAIRS))
    np.testing.assert_array_equal(CrossEncoder("org/graph", engine="onnx").predict(PAIRS), again.predict(PAIRS))
    card = (again.checkpoint.folder / "README.md").read_text()
    assert "model = CrossEncoder('org/graph', engine=\"onnx\")" in card
    with pytest.raises(CheckpointError, match="onnx"):
        CrossEncoder("org/graph", engine="torch")


def test_an_engine_fetches_what_it_runs_and_no_more(hub, both, bert):
    expected = CrossEncoder(bert).predict(PAIRS)
    np.testing.assert_allclose(CrossEncoder(both, engine="onnx").predict(PAIRS), expected, atol=1e-4)
    assert fetched(hub) == {"onnx/model.onnx"}
    np.testing.assert_array_equal(CrossEncoder(both).predict(PAIRS), expected)
    assert fetched(hub) == {"model.safetensors"}
    for options, files in {
        ("onnx", "int8"): {"onnx/model_int8.onnx"},
        ("openvino", None): {"openvino/openvino_model.xml", "openvino/openvino_model.bin"},
    }.items():
        with pytest.raises(CheckpointError, match="damaged"):
            CrossEncoder(both, engine=options[0], precision=options[1])
        assert fetched(hub) == files
    with pytest.raises(SettingError, match="onyx"):
        CrossEncoder(both, engine="onyx")
    assert hub.requests == []


def test_without_torch_the_automatic_engine_fetches_its_graph(hub, both, monkeypatch):
    monkeypatch.setattr("plackett.engines.loading.is_installed", lambda name: name not in ("torch", "openvino"))
    CrossEncoder(both).predict(PAIRS)
    assert fetched(hub) == {"onnx/model.onnx"}


def test_a_graph_that_no_repository_has(hub, bert):
    hub.add("org/weights", content_of(bert))
    with pytest.raises(CheckpointError, match=r"onnx/model_int8\.onnx.* --precision int8"):
        CrossEncoder("org/weights", engine="onnx", precision="int8")


def test_a_graph_in_the_cache_is_read_without_a_request(hub, both, monkeypatch):
    first = CrossEncoder(both, engine="onnx").predict(PAIRS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    np.testing.assert_array_equal(CrossEncoder(both, engine="onnx").predict(PAIRS), first)
    assert read_info(both).checkpoint.exports[0].engine == "onnx"
    assert hub.requests == []


def test_a_download_whose_connection_drops_goes_on_where_it_stopped(hub, bert, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB, which no tiny model has
    hub.add("org/name", content_of(bert))
    weights = (bert / "model.safetensors").stat().st_size
    for _ in range(2):
        hub.faults.append(Fault("GET /objects/", drop=weights // 3))
    folder = CrossEncoder("org/name").checkpoint.folder
    assert (folder / "model.safetensors").read_bytes() == (bert / "model.safetensors").read_bytes()
    starts = [request.partition("bytes=")[2].rstrip("-") for request in hub.asked("GET /objects/")]
    assert starts[0] == ""
    assert 0 < int(starts[1]) <= weights // 3 < int(starts[2]) <= weights // 3 * 2


def test_a_download_that_ends_early_and_for_good_leaves_no_half_checkpoint(hub, bert):
    hub.add("org/name", content_of(bert))
    hub.faults.append(Fault("GET /objects/", drop=0, times=99))
    with pytest.raises(HubError, match="org/name"):
        CrossEncoder("org/name")
    hub.faults.clear()
    np.testing.assert_array_equal(CrossEncoder("org/name").predict(PAIRS), CrossEncoder(bert).predict(PAIRS))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("/api/models/org/name", 401, {"X-Error-Code": "RepoNotFound"}), "for a private model, set HF_TOKEN"),
        (Fault("/api/models/org/name", 403, {"X-Error-Code": "GatedRepo"}), "is gated: request access"),
        (Fault("/api/models/org/name", 400, body='{"error": "you sent AUTHORIZATION"}'), r"you sent Bearer \[token\]"),
    ],
)
def test_refused_downloads_are_one_clear_error_without_the_token(hub, bert, fault, message):
    fault.times = 99
    hub.add("org/name", content_of(bert))
    hub.faults.append(fault)
    with pytest.raises(HubError, match=message) as caught:
        CrossEncoder("org/name")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "read", [lambda: find_file("hf://datasets/org/name/x.jsonl"), lambda: read_nanobeir("org/name")]
)
def test_refused_data_is_one_clear_error_without_the_token(hub, read):
    hub.faults.append(Fault("datasets/org/name", 400, body='{"error": "you sent AUTHORIZATION"}', times=99))
    with pytest.raises(HubError, match="org/name") as caught:
        read()
    assert TOKEN not in str(caught.value)


def test_a_pause_that_the_hub_asks_for_is_made_for_a_file_and_said_of_a_repository(hub, bert):
    hub.add("org/name", content_of(bert))
    hub.faults.append(Fault("GET /api/models/", 429, {"Retry-After": "0"}))  # which the client does not ask again
    with pytest.raises(HubError, match="received too many requests"):
        CrossEncoder("org/name")
    hub.faults.append(Fault("GET /objects/", 429, {"Retry-After": "0"}))
    np.testing.assert_array_equal(CrossEncoder("org/name").predict(PAIRS), CrossEncoder(bert).predict(PAIRS))
    assert len(hub.asked("GET /objects/")) == 2


def test_a_slow_hub_is_waited_for_and_one_too_slow_is_an_error(hub, bert, monkeypatch):
    hub.add("org/name", content_of(bert))
    hub.faults.append(Fault("GET /objects/", seconds=1))
    CrossEncoder("org/name")
    hub.add("org/slow", content_of(bert))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.faults.append(Fault("org/slow", seconds=0.5, times=99))
    with pytest.raises(HubError, match="org/slow"):
        CrossEncoder("org/slow")


def test_a_commit_in_the_cache_is_read_without_a_request(hub, bert, monkeypatch):
    commit = hub.add("org/name", content_of(bert))
    first = CrossEncoder("org/name", revision=commit).predict(PAIRS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    np.testing.assert_array_equal(CrossEncoder("org/name", revision=commit).predict(PAIRS), first)
    assert hub.requests == []
    with pytest.raises(HubError, match="'main'"):
        CrossEncoder("org/name", revision="main")


def test_the_token_is_sent_and_never_saved(hub, model, tmp_path):
    publish(model, "org/name", private=True)
    CrossEncoder("org/name").save_pretrained(tmp_path / "saved")
    for folder in (model, tmp_path / "cache", tmp_path / "saved"):
        for path in folder.rglob("*"):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert all(TOKEN.encode() not in content for content in hub.files("org/name").values())


@pytest.mark.parametrize("path", ["../../../../escaped.json", "/tmp/escaped-plackett.json", "..\\escaped.json"])
def test_a_repository_that_would_write_elsewhere_does_not(hub, bert, tmp_path, path):
    hub.add("org/evil", content_of(bert))
    hub.extra_paths.append(path)
    before = {item for item in tmp_path.rglob("*escaped*")}
    with pytest.raises((HubError, CheckpointError)):
        CrossEncoder("org/evil")
    assert {item for item in tmp_path.rglob("*escaped*") if "cache" not in item.parts} == before
    assert not os.path.exists("/tmp/escaped-plackett.json")


@pytest.mark.process
def test_the_command_itself_with_its_own_environment(model, tmp_path):
    """A process of its own, which reads HF_ENDPOINT and HF_TOKEN as it starts."""
    with running_hub() as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "plackett", "publish", str(model), "org/name", "--private"]
        done = subprocess.run(
            command,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{hub.url}/org/name/commit/{hub.repositories['org/name'].branches['main']}\n"
    assert TOKEN not in done.stdout + done.stderr
    assert len(hub.asked("POST /v1/shards")) == 1, "by Xet, which nobody turned off"
    assert hub.asked("/v1/telemetry") == [], "nothing phones home"


def test_pickles_are_refused_unless_the_user_says_otherwise(bert, tmp_path):
    torch = pytest.importorskip("torch")
    folder = shutil.copytree(bert, tmp_path / "m")
    weights = {name: torch.from_numpy(weight) for name, weight in load_file(folder / "model.safetensors").items()}
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="allow_pickle=True"):
        CrossEncoder(folder)
    np.testing.assert_array_equal(
        CrossEncoder(folder, allow_pickle=True).predict(PAIRS), CrossEncoder(bert).predict(PAIRS)
    )


def test_code_in_a_checkpoint_is_never_run(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": code}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")
    with pytest.raises(CheckpointError, match="trust_remote_code"):
        CrossEncoder(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "C:\\x.safetensors", "a/../../x", ""])
def test_weights_that_lie_elsewhere_are_refused(bert, tmp_path, name):
    folder = shutil.copytree(bert, tmp_path / "m")
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="outside the folder"):
        CrossEncoder(folder)
