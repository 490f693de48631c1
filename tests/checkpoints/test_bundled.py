"""The model inside of the package: found and whole, or a clear error; on disks that cannot be written, and in zips."""

import hashlib
import importlib.resources
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from plackett import CheckpointError, CrossEncoder
from plackett.checkpoints import bundled as embedded
from plackett.checkpoints.folder import read_checkpoint
from plackett.cli.group import commands
from plackett.engines.base import FakeEngine, Parts

QUERY = "how many calories in an egg"
DOCUMENTS = ["Hens lay eggs in a nest.", "A large egg has about 72 calories.", "The capital of France is Paris."]
FILES = {"config.json": b"{}", "onnx/model_int8.onnx": b"weights" * 1000, "README.md": b"# card"}


@pytest.fixture(scope="module")
def default():
    return CrossEncoder()


def listing(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


@pytest.fixture
def folder(tmp_path):
    """A small folder that is whole."""
    folder = tmp_path / "package" / embedded.NAME
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in FILES.items()]
    (folder / embedded.SUMS).write_text("".join(lines))
    return folder


@pytest.fixture
def zipped(folder, tmp_path, monkeypatch):
    """The same in a zip, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = shutil.make_archive(str(tmp_path / "package"), "zip", folder.parent)
    return zipfile.Path(path, f"{embedded.NAME}/")


def test_what_is_shipped_is_whole_and_small():
    folder = embedded.folder()
    assert folder == Path(str(importlib.resources.files("plackett"))) / "default_model"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 40e6
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "tokenizer.json", "plackett.json", "README.md", "NOTICE", embedded.SUMS} <= names


def test_a_cross_encoder_without_a_model_is_the_embedded_one(default):
    assert default.checkpoint.folder == embedded.folder()
    ranked = default.rank(QUERY, DOCUMENTS)
    assert ranked[0]["corpus_id"] == 1
    assert CrossEncoder("default").rank(QUERY, DOCUMENTS) == ranked
    assert [item["score"] for item in ranked] == sorted((item["score"] for item in ranked), reverse=True)


def test_logits_are_near_those_of_the_weights_before_int8(default):
    """Transformers computed these from the fp32 weights that the graph was exported from."""
    logits = default.score([(QUERY, document) for document in DOCUMENTS])[:, 0]
    assert logits == pytest.approx([-9.980, 8.012, -11.030], abs=0.5)


def test_commands_without_a_model_take_it(run, default, tmp_path):
    code, output, errors = run("rank", QUERY, *DOCUMENTS)
    assert (code, errors) == (0, "")
    expected = default.rank(QUERY, DOCUMENTS, return_documents=True)
    assert output.splitlines() == [f"{item['score']:.4f}  {item['text']}" for item in expected]
    (tmp_path / "queries.tsv").write_text(f"q\t{QUERY}\n")
    (tmp_path / "corpus.tsv").write_text("".join(f"{index}\t{text}\n" for index, text in enumerate(DOCUMENTS)))
    (tmp_path / "first.trec").write_text("".join(f"q Q0 {index} {index + 1} {-index} x\n" for index in range(3)))
    files = [f"--{name}={tmp_path / name}.tsv" for name in ("queries", "corpus")]
    code, _, errors = run("rerank", f"--run={tmp_path / 'first.trec'}", *files, f"--output={tmp_path / 'out.trec'}")
    assert code == 0, errors
    assert [line.split()[2] for line in (tmp_path / "out.trec").read_text().splitlines()] == [
        str(item["corpus_id"]) for item in expected
    ]
    (tmp_path / "documents.txt").write_text("".join(f"{document}\n" for document in DOCUMENTS))
    code, output, errors = run("search", str(tmp_path / "documents.txt"), QUERY, "--json")
    assert code == 0, errors
    assert output.splitlines()

    # `bulk` and `mcp` have tests of their own without a model.
    models = {name for name, command in commands.commands.items() if "model" in {item.name for item in command.params}}
    assert models == {"rank", "rerank", "search", "bulk", "mcp"}, "every command with --model is tried here"


def test_a_copy_is_a_checkpoint_of_ones_own(default, tmp_path):
    default.save_pretrained(tmp_path / "mine")
    assert CrossEncoder(tmp_path / "mine").rank(QUERY, DOCUMENTS) == default.rank(QUERY, DOCUMENTS)
    assert not (tmp_path / "mine" / embedded.SUMS).exists(), "it names the files as they were"


@pytest.mark.slow
def test_the_name_default_stands_for_it_where_a_checkpoint_is_named(run):
    code, output, errors = run("info", "default")
    assert (code, errors) == (0, "")
    assert str(embedded.folder()) in output
    assert "onnx/model_int8.onnx" in output
    code, output, errors = run("verify", "default", "default@onnx:int8")
    assert code == 0, errors
    assert "A and B agree" in output


def test_a_folder_called_default_hides_nothing_and_is_not_hidden(run, bert, tmp_path, monkeypatch):
    shutil.copytree(bert, tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    code, _, errors = run("rank", QUERY, *DOCUMENTS, "--model", "default")
    assert code == 2
    assert "./default" in errors
    assert len(errors.splitlines()) == 1
    for path in ("./default", Path("default")):
        assert CrossEncoder(path).checkpoint.model_type == "bert"
        assert CrossEncoder(path).checkpoint.folder == Path("default")
    assert CrossEncoder().checkpoint.folder == embedded.folder()


def test_info_says_where_it_is_or_what_is_wrong(run, folder, monkeypatch):
    _, output, _ = run("info")
    assert str(embedded.folder()) in output
    (folder / "config.json").unlink()
    monkeypatch.setattr(embedded, "files", lambda package: folder.parent)
    code, output, _ = run("info")
    assert code == 0
    assert "pip install --force-reinstall" in output


def test_a_whole_folder_is_used_as_it_is_and_nothing_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = listing(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert embedded.checked_folder(folder) == folder
    assert listing(folder) == before
    assert not (tmp_path / "cache").exists()


def test_hidden_files_of_a_file_manager_are_passed_over(folder):
    (folder / ".DS_Store").write_bytes(b"")
    assert embedded.checked_folder(folder) == folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {"missing": Path.unlink, "cut": cut, "empty": lambda path: path.write_bytes(b""), "one bit": flip}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, embedded.SUMS])
def test_a_damaged_file_is_named_and_installed_again(folder, name, damage):
    DAMAGES[damage](folder / name)
    with pytest.raises(CheckpointError, match=r"pip install --force-reinstall .*plackett") as caught:
        embedded.checked_folder(folder)
    if name != embedded.SUMS:
        assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_list_of_files_that_ends_early_is_no_licence(folder, kept):
    path = folder / embedded.SUMS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    with pytest.raises(CheckpointError, match="embedded model"):
        embedded.checked_folder(folder)


def test_a_file_that_does_not_belong_there_is_refused(folder):
    (folder / "model.safetensors").write_bytes(b"another model")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not one of the embedded model.s files"):
        embedded.checked_folder(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"SHA256SUMS.* is missing"):
        embedded.checked_folder(tmp_path / "none")


def test_out_of_a_zip_it_is_copied_once_and_mended(zipped, tmp_path):
    found = embedded.checked_folder(zipped)
    assert tmp_path / "cache" in found.parents
    assert {name: (found / name).read_bytes() for name in FILES} == FILES
    before = listing(found)
    assert embedded.checked_folder(zipped) == found
    assert listing(found) == before
    for damage in (cut, Path.unlink):
        damage(found / "onnx" / "model_int8.onnx")
        embedded.checked_folder(zipped)
        assert (found / "onnx" / "model_int8.onnx").read_bytes() == FILES["onnx/model_int8.onnx"]
    assert {path.name for path in found.rglob("*") if path.is_file()} == {Path(name).name for name in FILES}


def test_a_damaged_zip_gets_the_same_error(zipped, tmp_path):
    content = bytearray((tmp_path / "package.zip").read_bytes())
    start = content.index(b"model_int8.onnx") + len(b"model_int8.onnx")
    content[start + 10] ^= 0xFF
    (tmp_path / "package.zip").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model_int8\.onnx.* pip install --force-reinstall"):
        embedded.checked_folder(zipfile.Path(tmp_path / "package.zip", f"{embedded.NAME}/"))


def test_a_cache_that_cannot_be_written(zipped, tmp_path):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        embedded.checked_folder(zipped)


def test_the_cache_is_where_the_user_keeps_caches(zipped, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tmp_path / "home" / ".cache" / "plackett" in embedded.checked_folder(zipped).parents


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("wie viele Kalorien hat ein Ei", "Ein Ei hat etwa 72 Kalorien.", "Paris liegt an der Seine."),
        ("сколько калорий в яйце", "Варёное яйцо: около 72 калорий.", "Москва — столица России."),
        ("一个鸡蛋有多少卡路里", "一个鸡蛋大约有72卡路里。", "巴黎是法国的首都。"),
        ("كم سعرة حرارية في البيضة", "تحتوي البيضة على حوالي 72 سعرة حرارية.", "باريس عاصمة فرنسا."),
    ],
)
def test_other_languages_are_scored(default, query, right, wrong):
    """It was trained on English: what it says of others is a score, no promise."""
    ranked = default.rank(query, [wrong, right, "🥚", "\u200b!"])
    assert np.isfinite([item["score"] for item in ranked]).all()
    assert sorted(item["corpus_id"] for item in ranked) == [0, 1, 2, 3]


def test_no_documents_and_one(run, default):
    assert default.rank(QUERY, []) == []
    code, output, errors = run("rank", QUERY)
    assert (code, output) == (2, "")
    assert "there are no documents" in errors
    assert [item["corpus_id"] for item in default.rank(QUERY, DOCUMENTS[:1])] == [0]


@pytest.mark.slow
def test_a_hundred_thousand_documents_come_back_each_once_and_in_order():
    """The whole path but the forward pass; a document's logit is the sum of its token ids."""
    checkpoint = read_checkpoint(embedded.folder(), activation="identity")
    encoder = CrossEncoder.from_parts(Parts.of(checkpoint, FakeEngine(lambda ids: float(ids.sum()))))
    documents = [f"{number % 997} {os.fspath('a/b')}" for number in range(100_000)]
    ranked = encoder.rank("numbers", documents)
    assert sorted(item["corpus_id"] for item in ranked) == list(range(100_000))
    keys = [(-item["score"], item["corpus_id"]) for item in ranked]
    assert keys == sorted(keys)
    few = encoder.predict([("numbers", documents[item["corpus_id"]]) for item in ranked[:50]])
    assert [item["score"] for item in ranked[:50]] == few.tolist()
