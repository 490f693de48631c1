"""Outputs that survive a kill at any byte: what is continued is what an undisturbed call writes."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from plackett._resumable import partial_file
from plackett.errors import DataError, SettingError

CHUNKS = [["first", "zweite Zeile: ä"], [], ["x" * 300], ["last but one"], [""], ["end"]]
WHOLE = "".join(f"{line}\n" for lines in CHUNKS for line in lines).encode()
FACTS = {"model": "m 0123", "depth": "10"}


class KilledError(Exception):
    """Stands for a kill between two chunks."""


class Kills(RuleBasedStateMachine):
    """Calls that are killed between chunks, and files that lose or gain bytes as a kill in the middle leaves them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.output = self.folder / "out"
        self.partial, self.journal = (self.folder / f"out.{end}" for end in ("partial", "partial.journal"))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def call(self, chunks: int) -> None:
        """What a command does, killed after `chunks` chunks."""
        with partial_file(self.output, FACTS) as partial:
            done = partial.counts.get("chunks", 0)
            assert self.partial.read_bytes() == b"".join(
                f"{line}\n".encode() for lines in CHUNKS[:done] for line in lines
            )
            for number in range(done, len(CHUNKS)):
                if number - done == chunks:
                    raise KilledError
                partial.append(CHUNKS[number], {"chunks": number + 1})
            partial.finish()

    @precondition(lambda self: not self.output.exists())
    @rule(chunks=st.integers(0, len(CHUNKS)))
    def run_until_killed(self, chunks: int) -> None:
        try:
            self.call(chunks)
        except KilledError:
            assert not self.output.exists()

    @precondition(lambda self: self.partial.exists())
    @rule(share=st.floats(0, 1))
    def lose_the_end_of_the_output(self, share: float) -> None:
        """Any number of bytes did not reach the disk."""
        os.truncate(self.partial, int(share * self.partial.stat().st_size))

    @precondition(lambda self: self.partial.exists())
    @rule(part=st.binary(min_size=1, max_size=20))
    def kill_while_a_chunk_is_written(self, part: bytes) -> None:
        """A part of the next chunk stands behind the last complete one, and has no entry."""
        whole = [line for line in self.journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        sizes = [json.loads(line).get("size", 0) for line in whole]
        if self.partial.stat().st_size >= max(sizes):
            with self.partial.open("ab") as stream:
                stream.write(part)

    @precondition(lambda self: self.output.exists())
    @rule()
    def start_again(self) -> None:
        self.output.unlink()

    @precondition(lambda self: self.journal.exists())
    @rule(share=st.floats(0, 1))
    def kill_while_the_journal_is_written(self, share: float) -> None:
        """An entry is cut, at any byte; the first, the facts, was there before any output."""
        content = self.journal.read_bytes()
        first = content.index(b"\n") + 1
        self.journal.write_bytes(content[: first + int(share * (len(content) - first))])

    @precondition(lambda self: self.partial.exists())
    @rule()
    def other_facts_are_refused_and_change_nothing(self) -> None:
        before = self.partial.read_bytes(), self.journal.read_bytes()
        with pytest.raises(SettingError, match="depth 10"), partial_file(self.output, FACTS | {"depth": "11"}):
            pass
        assert (self.partial.read_bytes(), self.journal.read_bytes()) == before

    @invariant()
    def an_output_is_whole_and_nothing_is_beside_it(self) -> None:
        if self.output.exists():
            assert self.output.read_bytes() == WHOLE
            assert list(self.folder.iterdir()) == [self.output]


Kills.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestKills = Kills.TestCase


def test_an_interruption_tells_what_is_kept_and_how_to_continue(tmp_path):
    def interrupted():
        with partial_file(tmp_path / "out", {}) as partial:
            partial.append(["first"], {"queries": 64, "lists": 60})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert caught.value.__notes__ == [
        "64 queries are done and kept in out.partial; run the same command again to continue"
    ]


def test_an_interruption_before_the_first_chunk_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught, partial_file(tmp_path / "out", {}):
        raise KeyboardInterrupt
    assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_a_second_kill_costs_no_more_than_the_first(tmp_path):
    journal = tmp_path / "out.partial.journal"
    with partial_file(tmp_path / "out", {}) as partial:
        partial.append(["first"], {"queries": 1})
    journal.write_bytes(journal.read_bytes() + b'{"size": 1')
    with partial_file(tmp_path / "out", {}) as partial:
        partial.append(["second"], {"queries": 2})
    with partial_file(tmp_path / "out", {}) as partial:
        assert partial.counts == {"queries": 2}


def test_two_processes_do_not_write_the_same_output(tmp_path):
    with (
        partial_file(tmp_path / "out", {}),
        pytest.raises(SettingError, match="another process"),
        partial_file(tmp_path / "out", {}),
    ):
        pass


def test_a_full_disk_is_a_clear_error_and_the_whole_chunks_stay(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with partial_file(tmp_path / "out", {"a": "1"}) as partial:
        partial.append(["first"], {"queries": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(DataError, match=r"out\.partial.*No space left"):
                partial.append(["second"], {"queries": 2})
    with partial_file(tmp_path / "out", {"a": "1"}) as partial:
        assert (partial.size, partial.counts) == (len("first\n"), {"queries": 1})
        partial.finish()
    assert (tmp_path / "out").read_text() == "first\n"
