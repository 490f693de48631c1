"""The English of what people read: turns that a native technical writer would not use, and numbers below 1."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REJECTED = {
    r"so many": "a number",
    r"what becomes of": "what happens to",
    r"what (?:is|are) so": "leave out",
    r"where there (?:is|are) (?:one|none|any)": "if any",
    r"of (?:its|their|his) own\b": "its own X",
    r"of those\b": "name the noun",
    r"(?:stands?|stood|standing)\b(?! for)": "is",
    r"(?:lies|lay) (?:in|at|on|below|between|beside|outside|there|where)": "is",
    r"(?:takes?|taking|took) the place of|in the place of": "overrides, replaces, instead of",
    r"which is what": "leave out",
    r"as (?:it|they) (?:is|are)\b(?! \w+(?:ed|n)\b)": "unchanged",
    r"for nothing": "for free",
    r"(?:is|are|was|were) wanted|wanted": "requested, needed",
    r"hang(?:s)? on": "depends on",
    r"want(?:s)? (?:a|an|another|the) (?!to)": "needs",
    r"bring(?:s)? with": "includes",
    r"the same to \.?\d": "within",
    r"some hundred": "hundreds of",
    r"what (?:else )?there is": "name it",
    r"(?:asks?|asked) nobody": "makes no request",
    r"tells? apart|told apart": "distinguish",
    r"half of a character": "an unpaired surrogate",
    r"(?:is|are) asked for": "is requested",
    r"knows? nothing of": "is independent of",
    r"as it sees fit": "name who decides",
    r"otherwise than": "differently from",
    r"the way of (?:sentence|torch|transformers)": "as in",
    r"in place of": "instead of",
    r"nothing but": "only",
    r"beg(?:ins?|an|un) again": "starts over",
    r"(?:is|are|was|were|been) begun": "started",
    r"by and by": "gradually",
    r"whole or not at all": "atomically",
    r"somebody": "someone, or name who",
    r"without more ado": "leave out",
    r"behind each other": "joined, concatenated",
    r"\d (?:tokens|pairs|documents|lists|queries) an? (?:pair|query|list|step|document|second|batch)": "per",
}
TURNS = {re.compile(rf"\b(?:{pattern})", re.IGNORECASE): better for pattern, better in REJECTED.items()}
TURNS[re.compile(r"(?:^|[.!?] )(?:That|Those) (?!is\b|are\b|[a-z]+s? (?:is|are)\b)")] = "name the noun"
TURNS[re.compile(r"(?<![\w.%*\])\\/-])\.\d+(?![\w%])")] = "0.5, not .5"  # in CSS it is .5rem

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("benchmarks/*/README.md")),
    *sorted(ROOT.glob("default_model/**/*.md")),
]
FOLDERS = [ROOT / name for name in ("src", "benchmarks", "default_model", "documentation")]
SOURCES = sorted(path for folder in FOLDERS for path in folder.glob("**/*.py"))
RECIPES = sorted(path for folder in FOLDERS for path in folder.glob("**/recipes/*.yaml"))
CODE = re.compile(r"^```.*?^```|`[^`]+`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)


def _blank(code: re.Match[str]) -> str:
    """A sign in place of code, on as many lines."""
    return "`" + "\n" * code[0].count("\n")


def of_page(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside of code."""
    text = path.read_text(encoding="utf-8")
    text = CODE.sub(_blank, text)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("    "):
            yield number, line


def of_source(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module: docstrings, help texts and messages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number, line in enumerate(CODE.sub(_blank, node.value).splitlines()):
                yield node.lineno + number, line


def of_recipe(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if "#" in line:
            yield number, line.partition("#")[2]


def rejected(lines: Iterator[tuple[int, str]]) -> list[str]:
    return [
        f"{number}: {found[0]!r} ({better}) in: {line.strip()}"
        for number, line in lines
        for turn, better in TURNS.items()
        if (found := turn.search(line))
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_reads_well(path: Path) -> None:
    assert rejected(of_page(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_texts_of_a_module_read_well(path: Path) -> None:
    assert rejected(of_source(path)) == []


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_the_comments_of_a_recipe_read_well(path: Path) -> None:
    assert rejected(of_recipe(path)) == []
