"""What Mininet's shell takes for a comment."""

from __future__ import annotations

import pytest

from lab.cli.mininet_shell import SafeCLI, is_bandwidth, without_comment


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


def test_a_bandwidth_is_a_number_of_bits() -> None:
    assert all(is_bandwidth(word) for word in ("10M", "1.5G", "500k", "1000000"))
    assert not any(is_bandwidth(word) for word in ("bw", "", "-1M", "10X", "M", "1e9", "nan"))


def test_what_nobody_knows_does_not_steer_the_terminal_or_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("lab.cli.mininet_shell.error", said.append)
    shell = SafeCLI.__new__(SafeCLI)
    shell.mn = type("Net", (), {"nameToNode": {}, "__contains__": lambda *_: False})()
    shell.default("\x1b[2Jboo " + "y" * 100_000)
    assert "\x1b" not in said[0] and len(said[0]) < 200
