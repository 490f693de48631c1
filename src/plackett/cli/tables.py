"""Colours of the tables that the terminal shows; the text stays the same."""

import re

import click

INTERVAL = re.compile(r"(?P<difference>[+-]\d\.\d+)(?P<space> +)(?P<low>[+-]\d\.\d+)…(?P<high>[+-]\d\.\d+)")
VERDICT = re.compile(r"^A AND B (?P<verdict>AGREE|DISAGREE)\b.*$", re.MULTILINE)
HEADING = re.compile(r"^(?: +first stage +.*|\S[^\n]*candidates reranked)$", re.MULTILINE)


def painted(text: str) -> str:
    """Colour a table: bold headings; green or red verdicts, and differences whose interval excludes 0."""
    text = HEADING.sub(lambda found: click.style(found[0], bold=True), text)
    text = INTERVAL.sub(_difference, text)
    return VERDICT.sub(lambda found: click.style(found[0], fg=_VERDICTS[found["verdict"]], bold=True), text)


def _difference(found: re.Match[str]) -> str:
    low, high = float(found["low"]), float(found["high"])
    colour = "green" if low > 0 else "red" if high < 0 else None
    return click.style(found["difference"], fg=colour) + found[0].removeprefix(found["difference"])


_VERDICTS = {"AGREE": "green", "DISAGREE": "red"}
