"""The lines of HTTP/1 messages (RFC 9112), read as clients and servers read them: leniently.

A rule should see what the attacked program sees, and browsers repair many errors.  The extensions beyond the
RFC come from the tests of "HTTP Evader", and are those of Suricata's libhtp: blanks, NULs and control
characters in unusual places, single CRs as line ends of responses, headers folded before the colon, digits
with other characters around them.  All functions are pure.
"""

from __future__ import annotations

import re

CR, LF = 13, 10

_RESPONSE_END = re.compile(rb"\r?\n|\r(?=[^\r\n])")
_STATUS = re.compile(rb"[\s\x00]*[Hh][Tt][Tt][Pp]")
_PREFIX = re.compile(rb"[\s\x00]*(?:$|[Hh](?:$|[Tt](?:$|[Tt]$)))")
_METHODS = (
    rb"GET|PUT|POST|HEAD|TRACE|OPTIONS|CONNECT|DELETE|PATCH|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|"
    rb"CHECKOUT|UNCHECKOUT|MKWORKSPACE|UPDATE|LABEL|REPORT|MERGE|BASELINE-CONTROL|CHECKIN|VERSION-CONTROL|"
    rb"MKACTIVITY|ACL|SEARCH|ORDERPATCH|SUBSCRIBE|NOTIFY"
)
_REQUEST = re.compile(rb"[ \t]*(?:(?:" + _METHODS + rb")[ \t]|[\w\-]{1,32}[ \t]+\S[^\r\n]*[ \t]HTTP/\d)")
_REQUEST_BEGIN = re.compile(rb"(?=([ \t\r\n]*))\1[\w\-]{0,32}(?:[ \t][^\r\n]*)?\r?$")
"""The blanks are matched without backtracking, which would take quadratic time."""
_NOT_BLANK = re.compile(rb"[^\s\x00]")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*:")
PLAIN_HEADERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\x00]*\r\n)+\r\n")
"""A whole header block of the usual form, which is parsed in one step."""
_DIGITS = re.compile(rb"[0-9]+")
_CHUNK = re.compile(rb"[\r\n \t\v\f]*([0-9a-fA-F]*)")
SMALL_CHUNK = re.compile(rb"([0-9a-fA-F]{1,5})\r\n")
"""The usual form of a chunk's first line."""
BLANK, NO_CHUNK = -1, -2
"""Results of ``chunk_length`` for an empty line, and for a line that can't be a chunk's."""
ENOUGH = 64
"""Bytes that are checked while a chunk's first line is incomplete; the rest is checked later."""
MAX_CHUNK = 0x7FFFFFFF
"""Limit in bytes of a chunk's length; a line with more is no chunk's line."""


def response_line_end(data: bytes, at: int, closed: bool) -> int:
    """The end of the line that begins at or before ``at``: after LF, CR LF, or a single CR.

    -1 if it is not known yet.  ``closed``: no bytes follow ``data``.
    """
    line_end = _RESPONSE_END.search(data, at)
    return line_end.end() if line_end else len(data) if closed else -1


def request_line_end(data: bytes, at: int, closed: bool) -> int:
    """The same for requests, whose lines end with LF only, as servers require."""
    end = data.find(b"\n", at)
    return end + 1 if end >= 0 else len(data) if closed else -1


def is_end_of_headers(line: bytes, following: int) -> bool:
    """Whether it is the empty line.  One blank counts too, unless LF follows (-1: no bytes yet)."""
    if line in (b"\r\n", b"\n", b"\r", b""):
        return True
    return len(line) == 2 and line[0] in b" \t" and line[1] == LF and following not in (-1, LF)


def is_folded(line: bytes) -> bool:
    """Whether the line continues the header before it (RFC 9112, section 5.2).  A NUL counts as a blank."""
    return line[:1] in (b" ", b"\t", b"\0")


def field(line: bytes) -> tuple[bytes, bytes] | None:
    """(name, value) of a header; None if there is no colon."""
    name, colon, value = line.partition(b":")
    return (name.strip(), value.strip()) if colon else None


def begins_field(data: bytes, at: int) -> bool:
    """Whether the line has a header's name and colon."""
    return _FIELD.match(data, at) is not None


def looks_like_status(data: bytes, at: int = 0) -> bool:
    """Whether a client takes this for the beginning of a response, and not for a body."""
    return _STATUS.match(data, at) is not None


def not_blank(data: bytes, at: int) -> int:
    """The position of the first byte that is no blank (for ``looks_like_status``); the end if there is
    none."""
    match = _NOT_BLANK.search(data, at)
    return match.start() if match else len(data)


def after_line_ends(data: bytes, at: int) -> int:
    """The position after a run of CRs and LFs."""
    match = _LINE_ENDS.match(data, at)
    return match.end() if match else at


def may_become_status(data: bytes, at: int = 0) -> bool:
    """Whether it is too short to decide."""
    return _PREFIX.match(data, at) is not None


def looks_like_request(data: bytes, at: int = 0) -> bool:
    """Whether a server takes this for another request."""
    return _REQUEST.match(data, at) is not None


def may_become_request(data: bytes, at: int = 0) -> bool:
    """Whether it can be the beginning of a request line."""
    return _REQUEST_BEGIN.match(data, at) is not None


def request_line(text: bytes) -> tuple[bytes, bytes, bytes]:
    """(method, URI, protocol); the protocol is empty if there is none (HTTP/0.9, or omitted)."""
    words = text.strip(b" \t\r\n\v\f\0").split(None, 1)
    method = words[0] if words else b""
    rest = words[1] if len(words) > 1 else b""
    head, _, last = rest.rpartition(b" ")
    if last[:5].upper() != b"HTTP/":
        head, last = (rest.split()[0], rest.split()[-1]) if b"\tHTTP/" in rest.upper() else (rest, b"")
    return method, head.strip(), last


def status_line(text: bytes) -> tuple[bytes, bytes, bytes]:
    """(protocol, status, reason)."""
    parts = text.split(None, 2)
    return (
        parts[0] if parts else b"",
        parts[1] if len(parts) > 1 else b"",
        parts[2] if len(parts) > 2 else b"",
    )


def content_length(value: bytes) -> int | None:
    """The first digits of a Content-Length; None if there are none, or too many."""
    digits = _DIGITS.search(value)
    if digits is None or len(digits[0].lstrip(b"0")) > 18:
        return None
    return int(digits[0])


def chunk_length(line: bytes) -> int:
    """The length in a chunk's first line, or ``BLANK``, or ``NO_CHUNK``.

    Blanks and control characters may stand before it; what comes after it is an extension (RFC 9112,
    section 7.1) or ignored.
    """
    match = _CHUNK.match(line)
    assert match is not None
    if not match[1]:
        return BLANK if match.end() == len(line) else NO_CHUNK
    digits = match[1].lstrip(b"0")
    length = int(digits or b"0", 16) if len(digits) <= 8 else MAX_CHUNK + 1
    return length if length <= MAX_CHUNK else NO_CHUNK


def may_be_chunk(data: bytes, at: int) -> bool:
    """Whether the bytes from ``at`` can become a chunk's first line."""
    end = min(len(data), at + ENOUGH)
    match = _CHUNK.match(data, at, end)
    assert match is not None
    return bool(match[1]) or match.end() == end


def codings(value: bytes) -> tuple[list[str], bool]:
    """(content codings in the order of their application, whether all are known), RFC 9110, section 8.4.

    They are found within words and with NULs among their letters, as clients find them.
    """
    names: list[str] = []
    understood = True
    for word in re.split(rb"[,\s]+", value.replace(b"\0", b"").lower()):
        if b"gzip" in word:
            names.append("gzip")
        elif b"deflate" in word:
            names.append("deflate")
        elif word not in (b"", b"identity", b"inflate", b"none"):
            understood = False
    return names, understood


class Fields:
    """The headers of a message, as they came, and by name in small letters."""

    __slots__ = ("by_name", "lines")

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes]] = []
        self.by_name: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, name: bytes, value: bytes) -> None:
        """One more; values of one name are joined by commas (RFC 9110, section 5.3), but of several
        Content-Lengths the first counts.
        """
        self.lines.append((name, value))
        key = name.lower()
        if b"\0" in key:
            key = key.replace(b"\0", b"").strip()
        known = self.by_name
        if key not in known:
            known[key] = value
        elif key != b"content-length" and len(known[key]) < 65536:
            known[key] += b", " + value

    def add_block(self, block: bytes) -> None:
        """All of a block that ``PLAIN_HEADERS`` matches."""
        known, lines = self.by_name, self.lines
        for line in block[:-4].split(b"\r\n"):
            name, _, value = line.partition(b":")
            key = name.lower()
            if key in known:
                self.add(name, value.strip())
            else:
                known[key] = value = value.strip()
                lines.append((name, value))
