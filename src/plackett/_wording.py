"""Wording of messages: numbers with their nouns, and texts of others in one line."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 query`, `2,000 queries`. `many` is an irregular plural."""
    many = many or (f"{one[:-1]}ies" if one.endswith("y") else f"{one}s")
    return f"{number:,} {one if number == 1 else many}"


def one_line(text: object) -> str:
    """Return a text with single spaces instead of line ends and other white space."""
    return " ".join(str(text).split())
