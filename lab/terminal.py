"""Text from outside for a terminal: control characters become visible escapes. Pure.

Names, logs and the output of functions may contain escape sequences (ECMA-48), which move the cursor, rename
the window or worse; and marks that change the direction of writing, so that a line looks like another text.
"""

from __future__ import annotations

import re
import unicodedata

_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
_SUSPECT_IN_LINE = re.compile(r"[^\x20-\x7e]")


def shown(text: str) -> str:
    """``text`` with every unprintable character escaped, except line ends and tabs."""
    return _SUSPECT.sub(_escaped, text)


def one_line(text: str) -> str:
    """``text`` on one line: line ends and tabs are escaped as well."""
    return _SUSPECT_IN_LINE.sub(_escaped, text)


def json_shown(text: str) -> str:
    """Equal JSON in which every character outside ASCII that could control a terminal, or can't be encoded,
    is escaped.

    ``json.dumps`` escapes the controls of ASCII but DEL itself.
    """
    return _SUSPECT.sub(lambda match: _kept(match[0]) or _units(match[0]), text)


def _kept(character: str) -> str:
    plain = character.isprintable() or unicodedata.category(character) == "Zs"
    return character if plain else ""


def _escaped(match: re.Match[str]) -> str:
    return _kept(match[0]) or match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _units(character: str) -> str:
    """A character as JSON escapes it: in units of UTF-16 (RFC 8259, section 7)."""
    octets = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{octets[i]:02x}{octets[i + 1]:02x}" for i in range(0, len(octets), 2))
