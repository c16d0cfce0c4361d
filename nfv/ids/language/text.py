"""The form of rules: lines, header, options; escapes, quotes and continued lines.

User guide "Rules Format".  A ``;`` ends an option unless a backslash is before it, also within quotes.

Rules are bytes: patterns are compared with traffic.  The parser works on text in which each character is one
byte (``as_bytes``), for any encoding of the file; ``readable`` converts it back for people.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RULE = 65536
"""Bytes; a longer rule is refused."""


class Problem(Exception):
    """The reason why a rule is refused; ``keyword`` is the unsupported keyword ('' for the header)."""

    def __init__(self, keyword: str, message: str) -> None:
        super().__init__(f"{keyword}: {message}" if keyword else message)
        self.keyword = keyword
        self.message = message


@dataclass(slots=True)
class Form:
    """A rule's parts as text."""

    action: str
    protocol: str
    source: str
    source_port: str
    direction: str
    destination: str
    destination_port: str
    options: list[tuple[str, str | None]]


BLANKS = " \t\r\n\v\f"
"""The blanks between words.  Unicode has more, but bytes 85 and A0 are parts of letters in UTF-8."""

_MARK = b"\xef\xbb\xbf"


def as_bytes(text: str | bytes) -> str:
    """A file's bytes, or text (encoded as UTF-8), as text with one character for each byte.

    Lone surrogates stand for bytes that are not UTF-8 (Python's ``surrogateescape``).  A byte order mark at
    the beginning is removed; if it is UTF-16's, the file is decoded as UTF-16, which some editors write.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        with contextlib.suppress(UnicodeDecodeError):  # then it is something else
            raw = raw.decode("utf-16").encode("utf-8", "surrogatepass")
    return raw.removeprefix(_MARK).decode("latin-1")


def readable(text: str) -> str:
    """The text for people: the bytes decoded as UTF-8, or as Latin-1 if they are not UTF-8."""
    raw = text.encode("latin-1", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Rules with the number of their first line, without comments and empty lines."""
    begun, number = "", 0
    for at, line in enumerate(text.split("\n"), 1):
        if not begun:
            stripped = line.strip(BLANKS)
            if not stripped or stripped.startswith("#"):
                continue
            number = at
        if line.rstrip(BLANKS).endswith("\\"):
            begun += line.rstrip(BLANKS)[:-1]
            continue
        whole, begun = (begun + line).strip(BLANKS), ""
        if whole:
            yield number, whole
    if begun.strip(BLANKS):
        yield number, begun.strip(BLANKS)


_HEADER = re.compile(r"(\S+)\s+(\S+)\s+(.*)", re.DOTALL)


def parse(text: str) -> Form:
    """Split a rule into its parts. Raises Problem if it is malformed."""
    if len(text) > MAX_RULE:
        raise Problem("", f"the rule has {len(text)} bytes, at most {MAX_RULE} are allowed")
    begin = text.find("(")
    if begin < 0 or not text.endswith(")"):
        raise Problem("", "options must stand in parentheses: action protocol from port -> to port (options)")
    words = _fields(text[:begin])
    if len(words) != 7:
        raise Problem(
            "", f"the header has {len(words)} fields instead of 7: action protocol from port -> to port"
        )
    if words[4] not in ("->", "<>", "=>"):
        raise Problem("", f"the direction {words[4]!r} is unknown; there are -> and <>")
    if words[4] == "=>":
        raise Problem("", "transactional rules (=>) are not supported; use -> with flow")
    options = list(_options(text[begin + 1 : -1]))
    return Form(words[0], words[1], words[2], words[3], words[4], words[5], words[6], options)


def _fields(header: str) -> list[str]:
    """The words of a text. Blanks within brackets don't separate words."""
    words, word, depth = [], "", 0
    for character in header:
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        if character in BLANKS and depth <= 0:
            if word:
                words.append(word)
            word = ""
        elif character not in BLANKS:
            word += character
    return [*words, word] if word else words


def _options(text: str) -> Iterator[tuple[str, str | None]]:
    at, size = 0, len(text)
    while at < size:
        end = at
        while end < size and text[end] != ";":
            end += 2 if text[end] == "\\" else 1
        option = text[at:end].strip(BLANKS)
        if end >= size:
            if option:
                raise Problem(option.split(":")[0].strip(BLANKS), "the option doesn't end with a semicolon")
            return
        at = end + 1
        if not option:
            continue
        name, colon, value = option.partition(":")
        yield name.strip(BLANKS), value.strip(BLANKS) if colon else None


def unquote(keyword: str, value: str | None) -> str:
    """The text without its quotes, if it has any."""
    if value is None:
        raise Problem(keyword, "needs a value")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    if value[:1] == '"' or (value[-1:] == '"' and value[-2:] != '\\"'):
        raise Problem(keyword, "a quote is missing")
    return value


def negation(value: str | None) -> tuple[bool, str | None]:
    """Remove a leading ``!``."""
    if value is not None and value.startswith("!"):
        return True, value[1:].strip(BLANKS)
    return False, value


def plain(text: str) -> str:
    """Text without escaping backslashes."""
    return re.sub(r"\\([;:\"\\])", r"\1", text)


def content(keyword: str, value: str) -> bytes:
    """A pattern's bytes: text with ``|hex|`` parts and escapes (user guide "Payload Keywords", content)."""
    result = bytearray()
    at, size = 0, len(value)
    while at < size:
        character = value[at]
        if character == "|":
            end = value.find("|", at + 1)
            if end < 0:
                raise Problem(keyword, "a | is missing: hexadecimal bytes stand between two")
            digits = value[at + 1 : end].replace(" ", "")
            try:
                result += bytes.fromhex(digits)
            except ValueError:
                raise Problem(keyword, f"{digits[:40]!r} is not hexadecimal in pairs") from None
            at = end + 1
        elif character == "\\":
            if at + 1 >= size or value[at + 1] not in '\\";:':
                raise Problem(keyword, 'a backslash stands only before \\ " ; :')
            result += value[at + 1].encode("latin-1")
            at += 2
        else:
            if character in '";':
                raise Problem(keyword, f"{character!r} must be escaped or written in hexadecimal")
            result += character.encode("latin-1")
            at += 1
    if not result:
        raise Problem(keyword, "the pattern is empty")
    return bytes(result)
