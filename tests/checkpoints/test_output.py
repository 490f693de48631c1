"""A checkpoint takes its place whole or not at all, and nothing that is not a checkpoint's makes room for it."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plackett import CheckpointError, CrossEncoder
from plackett.checkpoints.output import checkpoint_folder, copy_checkpoint, foreign_entries, whole_folder
from tiny import DOCUMENTS, PAIRS, QUERY


@pytest.fixture
def folder(bert, tmp_path):
    """A checkpoint of one's own, to change."""
    return Path(shutil.copytree(bert, tmp_path / "m"))


def make(folder, text="old"):
    """The least folder that Plackett replaces."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plackett.json").write_text(text)


def write(target, text="new"):
    with whole_folder(target) as place:
        (place / "plackett.json").write_text(text)


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_folder_appears_whole_and_replaces_an_old_one(tmp_path):
    target = tmp_path / "a" / "m"
    for text in ("first", "second"):
        with whole_folder(target) as place:
            (place / "plackett.json").write_text(text)
            assert not target.exists() or (target / "plackett.json").read_text() == "first"
        assert everything(target) == {"plackett.json": text.encode()}
        assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("old", [True, False])
def test_an_exception_leaves_the_old_folder_and_nothing_else(tmp_path, error, old):
    target = tmp_path / "deep" / "m"
    if old:
        make(target)
    before = everything(tmp_path)
    with pytest.raises(error), whole_folder(target) as place:  # noqa: PT012
        (place / "plackett.json").write_text("half")
        raise error
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["m/", "./m", "x/../m", "m/.", "link/m", "~/m"])
def test_other_spellings_of_a_name_are_that_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    write(name)
    assert everything(tmp_path / "m") == {"plackett.json": b"new"}
    assert sorted(os.listdir(tmp_path)) == ["link", "m", "x"]


@pytest.mark.parametrize("name", [".git/config", "notes.md", "main.py", "data/lists.jsonl", "checkpoint-5/config.json"])
def test_a_checkpoint_with_something_else_is_refused_by_its_name(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = everything(folder.parent)
    with pytest.raises(CheckpointError, match=name.split("/")[0]):
        checkpoint_folder(folder)
    assert everything(folder.parent) == before


@pytest.mark.parametrize("name", ["onnx/mine.txt", "onnx/more/model.onnx", "1_Pooling/notes.txt", "vocab.txt/mine"])
def test_folders_of_a_checkpoint_are_looked_into(folder, name):
    (folder / "vocab.txt").unlink(missing_ok=True)
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(CheckpointError, match=name.split("/")[0]):
        checkpoint_folder(folder)


def test_another_programs_configuration_is_no_checkpoint(tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "config.json").write_text('{"port": 8080}')
    with pytest.raises(CheckpointError, match="contains"):
        write(app)
    assert everything(app) == {"config.json": b'{"port": 8080}'}


@pytest.mark.parametrize("config", ["[]", "{", '{"architectures": "x"}', '{"architectures": ["BertModel"]}'])
def test_weights_without_a_classifiers_configuration_are_not_replaced(folder, config):
    (folder / "config.json").write_text(config)
    assert "model.safetensors" in foreign_entries(folder)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "deberta-v2", "xlm-roberta"])
def test_what_plackett_saves_it_replaces(tiny, tmp_path, family):
    encoder = CrossEncoder(tiny(family))
    for _ in range(2):
        encoder.save_pretrained(tmp_path / "m")
        assert foreign_entries(tmp_path / "m") == []
    CrossEncoder(tmp_path / "m").save_pretrained(tmp_path / "m")
    np.testing.assert_array_equal(CrossEncoder(tmp_path / "m").predict(PAIRS), encoder.predict(PAIRS))


def test_the_default_model_is_a_checkpoint_with_nothing_else(tmp_path):
    CrossEncoder().save_pretrained(tmp_path / "m")
    assert foreign_entries(tmp_path / "m") == []


def test_a_copy_holds_the_checkpoint_only(folder, tmp_path):
    for name in ("notes.md", ".git/config", "data/lists.jsonl", "onnx/model.onnx", "onnx/mine.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (tmp_path / "copy").mkdir()
    copy_checkpoint(folder, tmp_path / "copy")
    assert set(everything(folder)) - set(everything(tmp_path / "copy")) == {
        *("notes.md", ".git", ".git/config", "data", "data/lists.jsonl", "onnx/mine.txt")
    }


@pytest.mark.parametrize("target", ["m/inside", "m", "."])
def test_an_output_that_is_in_or_around_an_input_is_refused(folder, tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    before = everything(tmp_path)
    for source in (folder, "m/../m/", "link"):
        with pytest.raises(CheckpointError, match="input"):
            checkpoint_folder(target, inputs=["no such thing", source])
    assert everything(tmp_path) == before


def test_a_link_to_an_old_checkpoint_is_refused_and_one_to_an_empty_folder_filled(tmp_path):
    make(tmp_path / "v1")
    (tmp_path / "v2").mkdir()
    for name in ("v1", "v2"):
        (tmp_path / f"to-{name}").symlink_to(name)
    with pytest.raises(CheckpointError, match="v1"):
        checkpoint_folder(f"{tmp_path / 'to-v1'}/")
    write(tmp_path / "to-v2")
    assert (tmp_path / "to-v2").is_symlink()
    assert (tmp_path / "v2" / "plackett.json").read_text() == "new"
    assert (tmp_path / "v1" / "plackett.json").read_text() == "old"


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path):
    target = tmp_path / "m"
    target.mkdir()
    target.chmod(0o750)
    before = target.stat()
    write(target)
    assert (target.stat().st_ino, target.stat().st_mode) == (before.st_ino, before.st_mode)
    assert everything(tmp_path) == {"m": None, "m/plackett.json": b"new"}


@pytest.fixture
def mount(tmp_path):
    """A small file system of its own, full of an old checkpoint."""
    folder = tmp_path / "mount"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_mount_point_is_filled(mount):
    for text in ("first", "second"):
        write(mount, text)
        assert everything(mount) == {"plackett.json": text.encode()}
        assert os.path.ismount(mount)


def test_a_full_disk_leaves_the_old_checkpoint_and_no_litter(mount):
    make(mount / "m")
    before = everything(mount)
    with pytest.raises(CheckpointError, match="No space left") as caught, whole_folder(mount / "m") as place:
        (place / "model.safetensors").write_bytes(bytes(500_000))
    assert isinstance(caught.value.__cause__, OSError)
    assert everything(mount) == before


def hinted(error):
    """What the error says to type."""
    return str(error).rpartition("To move it: ")[2]


@pytest.mark.process
def test_a_rename_that_fails_keeps_both_and_says_how_to_go_on(tmp_path, monkeypatch):
    target = tmp_path / "a b" / "m"
    make(target)
    rename = Path.rename

    def failing(self, to):
        if to == target and self.name == target.name:
            raise OSError("device or resource busy")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(CheckpointError, match="busy") as caught:
        write(target)
    assert everything(target) == {"plackett.json": b"old"}
    subprocess.run(hinted(caught.value), shell=True, check=True)
    assert everything(target) == {"plackett.json": b"new"}
    assert sorted(content for content in everything(tmp_path).values() if content) == [b"new", b"old"], (
        "nothing is lost"
    )


@pytest.mark.process
@pytest.mark.parametrize("old", [False, True])
def test_what_appears_in_the_meantime_is_kept_and_so_is_the_result(tmp_path, old):
    target = tmp_path / "m"
    if old:
        make(target)
    with pytest.raises(CheckpointError, match=r"notes\.md") as caught, whole_folder(target) as place:  # noqa: PT012
        (place / "plackett.json").write_text("new")
        target.mkdir(exist_ok=True)
        (target / "notes.md").write_text("mine")
    assert (target / "notes.md").read_text() == "mine"
    subprocess.run(hinted(caught.value), shell=True, check=True)
    assert everything(target) == {"plackett.json": b"new"}
    assert b"mine" in everything(tmp_path).values()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "m", tmp_path / "file", "", " ", "a\0b", "/proc/m"):
        with pytest.raises(CheckpointError):
            write(target)


def test_all_files_follow_the_umask(folder, tmp_path):
    (folder / "model.safetensors").chmod(0o600)
    before = os.umask(0o027)
    try:
        with whole_folder(tmp_path / "new") as place:
            copy_checkpoint(folder, place)
            (place / "model.safetensors").chmod(0o600)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {0o640}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750


@contextlib.contextmanager
def writer(target, then=""):
    """Another process in the middle of its work on a folder."""
    code = f"""
import time
from pathlib import Path
from plackett.checkpoints.output import whole_folder
{then}
with whole_folder({str(target)!r}) as place:
    (place / "plackett.json").write_text("other")
    print("writing", flush=True)
    time.sleep({0 if then else 60})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.process
def test_two_at_once_on_one_output_are_told(tmp_path):
    with writer(tmp_path / "m"), pytest.raises(CheckpointError, match="another process"):
        write(tmp_path / "m")


@pytest.mark.process
def test_the_next_run_removes_what_a_killed_one_left(folder):
    scores = CrossEncoder(folder).predict(PAIRS)
    with writer(folder):
        pass
    np.testing.assert_array_equal(CrossEncoder(folder).predict(PAIRS), scores)
    left = [path.name for path in folder.parent.iterdir() if path != folder]
    assert len(left) == 1
    assert left[0].startswith(f".{folder.name}."), "what is left over is hidden"
    like_it = folder.parent / f".{folder.name}.notes.plackett"
    like_it.mkdir()
    CrossEncoder(folder).save_pretrained(folder)
    assert CrossEncoder(folder).rank(QUERY, DOCUMENTS)
    assert sorted(folder.parent.iterdir()) == sorted([folder, like_it])


KILLED = """
import os, signal
rename, count = Path.rename, 0
def killing(self, to):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, to)
Path.rename = killing
"""


@pytest.mark.process
@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_between_two_renames_loses_neither_folder(tmp_path, caplog, fill, at):
    target = tmp_path / "m"
    target.mkdir()
    if not fill:
        make(target)
    with writer(target, KILLED.format(at=at)) as process:
        process.wait()
    assert b"other" in everything(tmp_path).values()
    write(target, "third")
    kept = [path for path in tmp_path.rglob("plackett.json") if path.read_text() == "other"]
    assert (target / "plackett.json").read_text() == "third"
    assert bool(kept) == (not fill or at == 1)
    assert all(str(path.parent) in caplog.text for path in kept)


def test_saving_onto_ones_own_folder_keeps_every_file(folder):
    for name in ("LICENSE", "NOTICE", "onnx/model_q4.onnx", "openvino/openvino_model.xml", "1_Pooling/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("kept")
    (folder / "calibration.png").write_bytes(b"kept")
    before = everything(folder)
    CrossEncoder(folder, engine="torch").save_pretrained(folder / ".." / folder.name)
    after = everything(folder)
    assert set(before) <= set(after)
    assert {name for name in before if before[name] != after[name]} <= {"config.json", "tokenizer_config.json"}
    assert os.listdir(folder.parent) == [folder.name]
