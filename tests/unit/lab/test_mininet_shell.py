"""What Mininet's shell takes for a comment."""

from __future__ import annotations

import pytest

from lab.mininet_shell import without_comment


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("# all", ""), ("h1 ls # why", "h1 ls "), ("h1 echo a#b", "h1 echo a#b"),
        ("h1 echo '# no'", "h1 echo '# no'"),
        ('h1 echo "# no" # yes', 'h1 echo "# no" '), ("h1 echo 'open # in", "h1 echo 'open # in"), ("", ""),
    ],
)  # fmt: skip
def test_a_comment_begins_a_word_outside_of_quotes(line: str, left: str) -> None:
    assert without_comment(line) == left
