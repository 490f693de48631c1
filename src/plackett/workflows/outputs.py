"""The outputs of `plackett evaluate`: checked before anything is scored, and written without losing the figures."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plackett._files import folder_of_files, output_file, whole_file
from plackett.errors import PlackettError, SettingError
from plackett.facts import Evaluation, Facts
from plackett.publishing.card import write_card
from plackett.publishing.storage import add_evaluations

Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Output:
    """A file to write, and the kind of report in it: usually the file's suffix."""

    path: Path
    kind: str


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs of an evaluation: report files, and with `card` the figures on the checkpoints' cards.

    `per_query` adds every query's values to the JSON report.
    """

    files: Sequence[Output] = ()
    per_query: bool = False
    card: bool = False

    def check(self, kinds: Collection[str], inputs: Iterable[str | Path] = ()) -> None:
        """Raise SettingError for an unknown kind of report or a file named twice, DataError for unwritable files.

        No output may be one of the `inputs`.
        """
        inputs = list(inputs)
        known = ", ".join(sorted(kind or "a folder" for kind in kinds))
        for output in self.files:
            if output.kind not in kinds:
                raise SettingError(f"{output.path} is not a known kind of report; use one of: {known}")
            if output.kind:
                output_file(output.path, inputs=inputs)
            else:  # a folder
                folder_of_files(output.path, inputs=inputs)

        paths = [os.path.realpath(output.path) for output in self.files]
        if len(set(paths)) < len(paths):
            raise SettingError("an output is named twice")

    def write(self, writers: Mapping[str, Writer]) -> list[str]:
        """Write the files; return one line for each that failed."""
        problems: list[str] = []
        for output in self.files:
            with _problem_in(problems, output.path):
                writers[output.kind](output.path)
        return problems


NO_OUTPUTS = Outputs()


def add_to_card(folder: Path, facts: Facts, evaluations: Sequence[Evaluation]) -> list[str]:
    """Add evaluations to a checkpoint's card; return a line if that failed."""
    problems: list[str] = []
    with _problem_in(problems, folder):
        write_card(folder, add_evaluations(facts, evaluations))
    return problems


def text_writer(text: Callable[[], str]) -> Writer:
    """Return a writer of a text, which is created when it is needed."""

    def write(path: Path) -> None:
        with whole_file(path) as stream:
            stream.write(text())

    return write


@contextlib.contextmanager
def _problem_in(problems: list[str], path: Path) -> Iterator[None]:
    """Turn an error into a line of `problems`, so that one file cannot lose hours of scoring."""
    try:
        yield
    except Exception as error:
        known = isinstance(error, PlackettError)
        problems.append(
            str(error) if known else f"{path} cannot be written: {getattr(error, 'strerror', None) or error!r}"
        )
