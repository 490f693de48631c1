"""Write manual pages, one for each command, from click's help.

python -m documentation.man build/man
"""

import re
import sys
from pathlib import Path

import click

from plackett import __version__
from plackett.cli.group import commands


def page(command: click.Command, context: click.Context) -> str:
    """One page in the macros of man(7)."""
    name = context.command_path.replace(" ", "-")
    usage = " ".join(command.collect_usage_pieces(context))
    text = (command.help or "").split("\b")
    parts = [
        f'.TH "{name.upper()}" "1" "" "plackett {__version__}" "Plackett"',
        f".SH NAME\n{name} \\- {_roff(command.get_short_help_str(200))}",
        f".SH SYNOPSIS\n.B {_roff(context.command_path)}\n{_roff(usage)}",
        f".SH DESCRIPTION\n{_roff(text[0])}",
    ]
    if len(text) > 1:
        parts.append(".SH EXAMPLES\n.nf\n" + _roff("".join(text[1:])) + "\n.fi")
    records = [found for item in command.get_params(context) if (found := _record(item, context))]
    parts.append(".SH OPTIONS\n" + "\n".join(f".TP\n.B {_roff(names)}\n{_roff(help)}" for names, help in records))
    if isinstance(command, click.Group):
        names = sorted(command.commands.items())
        parts.append(
            ".SH COMMANDS\n"
            + "\n".join(f".TP\n.B plackett\\-{name}(1)\n{_roff(of.get_short_help_str(200))}" for name, of in names)
        )
    return "\n".join(parts) + "\n"


def _record(item: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    """Return the names of an option and its help; arguments are in the synopsis."""
    return item.get_help_record(context) if isinstance(item, click.Option) else None


def _roff(text: str) -> str:
    """Escape characters that troff reads as a request, a hyphen or an escape."""
    lines = [line.strip() for line in text.strip().splitlines()]
    escaped = [line.replace("\\", "\\e").replace("-", "\\-") for line in lines]
    return "\n".join(re.sub(r"^([.'])", r"\\&\1", line) for line in escaped if line)


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with click.Context(commands, info_name="plackett") as context:
        (folder / "plackett.1").write_text(page(commands, context), encoding="utf-8")
        for name, command in commands.commands.items():
            with click.Context(command, info_name=name, parent=context) as own:
                (folder / f"plackett-{name}.1").write_text(page(command, own), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
