"""`plackett doctor`."""

import dataclasses
import json
import os
from collections.abc import Iterator

import click

from plackett.cli.console import show
from plackett.workflows.doctor import PROBLEM, Finding, examine

MARKS = {"ok": ("ok", "green"), "faster": ("faster", "yellow"), PROBLEM: ("problem", "red")}
WIDTH = max(len(mark) for mark, _ in MARKS.values())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check the installation and suggest improvements.

    Shows what is installed, what would make it faster, and what is misconfigured. The exit code is 1 if there is a
    problem.

    \b
    plackett doctor
    plackett doctor --json
    """
    root = context.find_root().command
    assert isinstance(root, click.Group)  # noqa: S101 - the group of all commands
    findings = examine(os.environ, set(_variables(root)))
    for finding in findings:
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(finding), ensure_ascii=False))
        else:
            show(_line(finding))
    context.exit(1 if any(finding.status == PROBLEM for finding in findings) else 0)


def _variables(root: click.Group) -> Iterator[str]:
    """Return every variable that sets an option; the server's have no command name."""
    for name, command in root.commands.items():
        for item in command.params:
            yield f"PLACKETT_{name}_{item.name}".upper()
            yield str(item.envvar)
            if name == "serve":
                yield f"PLACKETT_{item.name}".upper()
    yield from ("PLACKETT_DEBUG", "PLACKETT_DATA")


def _line(finding: Finding) -> str:
    mark, colour = MARKS[finding.status]
    line = f"{click.style(mark.ljust(WIDTH), fg=colour)}  {finding.topic}: {finding.message}"
    return f"{line}\n{' ' * WIDTH}  -> {finding.advice}" if finding.advice else line
