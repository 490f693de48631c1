"""What counts as a blank text."""

import sys
import unicodedata

from plackett._inputs import is_blank


def test_white_space_control_and_formatting_characters_are_blank():
    """Compared with Python's own tables; characters that they do not know may be either."""
    known = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) != "Cn"]
    blank = [char for char in known if char.isspace() or unicodedata.category(char) in ("Cc", "Cf")]
    assert [char for char in known if is_blank(char)] == blank
    assert is_blank("".join(blank))
    assert is_blank("")
    assert not is_blank("".join(blank) + ".")
