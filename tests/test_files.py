"""What is written is read back; a file is written whole or not at all."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plackett import CheckpointError, DataError
from plackett._files import LONGEST, folder_of_files, output_file, whole_file, whole_files
from plackett.checkpoints.output import checkpoint_folder
from plackett.data import read_collection, read_lists, write_beir, write_lists
from plackett.records import Collection, LabeledList, Qrel

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
LISTS = st.lists(
    st.builds(
        lambda query, rows: LabeledList(query, tuple(d for d, _ in rows), tuple(label for _, label in rows)),
        TEXT,
        st.lists(st.tuples(TEXT, st.floats(-1e6, 1e6)), max_size=5),
    ),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(LISTS)
def test_lists_come_back(tmp_path, lists):
    write_lists(tmp_path / "lists.jsonl", lists)
    assert list(read_lists(tmp_path / "lists.jsonl")) == lists


def test_a_collection_comes_back(tmp_path):
    corpus = {"d 1": "a\nb\u2028c", "d2": "東京"}
    collection = Collection(
        "mine", {"q1": "what?", "q 2": "é"}, corpus, [Qrel("q1", "d2", 2), Qrel("q 2", "d 1", 0)], ()
    )
    write_beir(tmp_path / "mine", collection, split="dev")
    assert read_collection(tmp_path / "mine", split="dev") == collection


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "f.json"
    target.write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), whole_file(target) as stream:  # noqa: PT012
            stream.write("half")
            raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_appears_with_its_folders_when_it_is_whole(tmp_path):
    target = tmp_path / "a" / "b" / "f.json"
    with whole_file(target) as stream:
        stream.write("é\n")
        assert not target.exists()
    assert target.read_bytes() == b"\xc3\xa9\n"
    assert list(target.parent.iterdir()) == [target]
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for target, message in [(tmp_path, "is a folder"), (tmp_path / "file" / "f.json", "cannot be written")]:
        with pytest.raises(DataError, match=message), whole_file(target):
            pass


@pytest.mark.parametrize("name", ["n" * 255, "é" * 120, "n" * 300, "n/" * 2000 + "n"])
def test_a_name_too_long_for_what_is_beside_it_is_refused_before_the_work(tmp_path, name):
    for check in (output_file, folder_of_files, checkpoint_folder):
        with pytest.raises((DataError, CheckpointError), match="too long"):
            check(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_stream_holds_no_folder(name):
    for check in (folder_of_files, checkpoint_folder):
        with pytest.raises((DataError, CheckpointError), match="is a stream"):
            check(name)


def test_the_longest_name_is_written(tmp_path):
    for name in ("n" * LONGEST, "é" * (LONGEST // 2)):
        with whole_file(tmp_path / name) as stream:
            stream.write("x")
        assert (tmp_path / name).read_text() == "x"


def test_several_files_take_their_places_together_or_none_does(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("old")
    (tmp_path / "c").mkdir()

    def write(fault):
        with whole_files(tmp_path) as new:
            (new / "a").write_text("new")
            fault(new)

    for fault in (lambda new: 1 / 0, lambda new: (new / "c").write_text("new")):
        with pytest.raises((ZeroDivisionError, DataError)):
            write(fault)
        assert [(tmp_path / name).read_text() for name in "ab"] == ["old", "old"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    with whole_files(tmp_path) as new:
        (new / "a").write_text("new")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["new", "old"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)
    with pytest.raises(DataError, match="No such file"), whole_files(tmp_path / "none"):
        pass


def test_a_link_is_replaced_and_what_it_leads_to_left_alone(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    with whole_file(tmp_path / "link.json") as stream:
        stream.write("new")
    assert (tmp_path / "link.json").read_text() == "new"
    assert (tmp_path / "real.json").read_text() == "old"


@pytest.mark.process
@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to(tmp_path, target):
    code = f"""
from plackett._files import whole_file
print("before", flush=True)
with whole_file({target!r}) as stream:
    stream.write("it")
"""
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=out, cwd=tmp_path)
    assert (tmp_path / "out").read_text() == "before\nit"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.process
def test_devices_and_pipes_are_written_to_and_stay(tmp_path):
    with whole_file("/dev/null") as stream:
        stream.write("gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        with whole_file(tmp_path / "pipe") as stream:
            stream.write("through")
        assert reader.communicate()[0] == "through"
    with pytest.raises(DataError, match="No space left"), whole_file("/dev/full") as stream:
        stream.write("x")


@pytest.mark.process
def test_a_full_disk_leaves_the_old_file(tmp_path):
    (tmp_path / "f").write_text("old")
    code = f"""
import resource, signal
from plackett import DataError
from plackett._files import whole_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with whole_file({str(tmp_path / "f")!r}) as stream:
        stream.write("x" * 5000)
except DataError as error:
    print(error.__cause__.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == f"{errno.EFBIG}\n"
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_inputs_are_not_written_over(tmp_path):
    (tmp_path / "in").write_text("data")
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "hard").hardlink_to(tmp_path / "in")
    for target in ("in", "data/../in", "hard", "data/x"):
        with pytest.raises(DataError, match="input"):
            output_file(tmp_path / target, inputs=[tmp_path / "link", tmp_path / "data", "no such", "nanobeir:nq"])
    output_file(tmp_path / "out", inputs=[tmp_path / "in", tmp_path / "data"])


@pytest.mark.process
def test_a_file_that_cannot_take_its_place_is_kept(tmp_path, monkeypatch):
    def failing(self, to):
        raise OSError("busy")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(DataError, match="busy") as caught, whole_file(tmp_path / "a b") as stream:
        stream.write("done")
    subprocess.run(str(caught.value).rpartition("To move it: ")[2], shell=True, check=True)
    assert (tmp_path / "a b").read_text() == "done"
    assert os.listdir(tmp_path) == ["a b"]


@pytest.mark.process
def test_a_file_that_cannot_be_renamed_at_all_survives_the_next_run(tmp_path, monkeypatch, caplog):
    def failing(self, to):
        raise OSError("busy")

    with monkeypatch.context() as patched:
        for name in ("replace", "rename"):
            patched.setattr(Path, name, failing)
        with pytest.raises(DataError, match="busy") as caught, whole_file(tmp_path / "f") as stream:
            stream.write("hours of work")
    with whole_file(tmp_path / "f") as stream:
        stream.write("next")
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_text() == "hours of work"]
    assert str(kept[0]) in caplog.text
    subprocess.run(str(caught.value).rpartition("To move it: ")[2], shell=True, check=True)
    assert (tmp_path / "f").read_text() == "hours of work"


def test_folders_that_files_are_added_to(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "data").mkdir()
    for name in ("file", "file/inside", "data", "data/x", ".", "", "a\0b"):
        with pytest.raises(DataError):
            folder_of_files(f"{tmp_path}/{name}" if name else name, inputs=[tmp_path / "data"])
    assert folder_of_files(f"{tmp_path}/new/deep/") == tmp_path / "new" / "deep"
    assert not (tmp_path / "new").exists()


@pytest.mark.process
def test_what_a_process_cannot_write_is_refused_before_the_work(tmp_path):
    """As another user than root, whom nothing is refused."""
    (tmp_path / "folder").mkdir(mode=0o555)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "file").chmod(0o444)
    code = """
import os, sys
from plackett import DataError
from plackett._files import output_file
if os.getuid() == 0:
    os.setuid(65534)
for name in sys.argv[1:]:
    try:
        output_file(name)
    except DataError as error:
        print("read-only" in str(error))
"""
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == "root" and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    names = [tmp_path / "folder" / "x", tmp_path / "folder" / "y" / "x", tmp_path / "file"]
    done = subprocess.run([sys.executable, "-c", code, *names], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 3


@pytest.mark.process
def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "f.json"
    target.write_text("old")
    code = f"""
import pathlib, time
from plackett._files import whole_file
with whole_file(pathlib.Path({str(target)!r})) as stream:
    stream.write("half"); stream.flush()
    print("writing", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert target.read_text() == "old"
    assert all(path.name.startswith(".f.json.") for path in tmp_path.iterdir() if path != target)
    with whole_file(target) as stream:
        stream.write("new")
    assert os.listdir(tmp_path) == ["f.json"]


STOPPED = """
import json, os, signal, sys
from plackett._files import whole_file

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "open"}

def write(text, at=-1, how=None):
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    count = 0
    def stop(event, arguments):
        nonlocal count
        if event in CHANGES and "f.json" in os.fsdecode(str(arguments[0])):
            count += 1
            if count == at:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
    sys.addaudithook(stop)
    try:
        with whole_file("f.json") as stream:
            stream.write(text)
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(0)

for how in ("kill", "interrupt"):
    write("old")
    status, at = 1, 0
    while status and at < 60:
        at += 1
        write("never", at=5, how="kill")  # for the next one to remove
        status = write("new", at, how)
        found = open("f.json").read()
        write("old")
        print(json.dumps([how, at, status, found, os.listdir(), open("f.json").read()]))
"""


@pytest.mark.process
def test_a_process_stopped_before_any_change_to_the_disk_leaves_nothing_that_the_next_one_keeps(tmp_path):
    done = subprocess.run([sys.executable, "-c", STOPPED], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert not done.stderr
    stops = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(stops) > 12
    for how, at, status, found, names, after in stops:
        assert found in ("new", "old"), (how, at)
        assert found == "new" or status, (how, at)
        assert (names, after) == (["f.json"], "old"), (how, at)
