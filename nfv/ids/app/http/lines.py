"""The lines of HTTP/1 messages (RFC 9112), read as clients and servers read them: leniently.

A rule sees what the one who is attacked sees, and browsers repair a lot.  What is accepted beyond the RFC was
taken from the tests that "HTTP Evader" has for it, and is what Suricata's libhtp does: blanks, NULs and
control characters in odd places, lone CRs as line ends of responses, headers folded before the colon, digits
with something around them.  All functions are pure.
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
"""The blanks are taken once and for all: giving them back one by one would take time as their square."""
_NOT_BLANK = re.compile(rb"[^\s\x00]")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*:")
PLAIN_HEADERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\x00]*\r\n)+\r\n")
"""A whole header block as nearly all are: read at once."""
_DIGITS = re.compile(rb"[0-9]+")
_CHUNK = re.compile(rb"[\r\n \t\v\f]*([0-9a-fA-F]*)")
SMALL_CHUNK = re.compile(rb"([0-9a-fA-F]{1,5})\r\n")
"""The usual first line of a chunk, which is many."""
BLANK, NO_CHUNK = -1, -2
"""What ``chunk_length`` says of an empty line, and of one that can't be a chunk's."""
ENOUGH = 64
"""Bytes that are looked at while a chunk's first line comes; the rest is when it is whole."""
MAX_CHUNK = 0x7FFFFFFF
"""Bytes that a chunk may claim; beyond that the line is none."""


def response_line_end(data: bytes, at: int, closed: bool) -> int:
    """Where the line that begins at ``at`` or before it ends: after LF, CR LF, or a CR that nothing of both
    follows; -1 when that can't be told yet.  ``closed``: nothing follows on ``data``.
    """
    line_end = _RESPONSE_END.search(data, at)
    return line_end.end() if line_end else len(data) if closed else -1


def request_line_end(data: bytes, at: int, closed: bool) -> int:
    """The same for requests, whose lines end with LF alone, since servers ask for that."""
    end = data.find(b"\n", at)
    return end + 1 if end >= 0 else len(data) if closed else -1


def is_end_of_headers(line: bytes, following: int) -> bool:
    """Is it the empty line?  One blank counts too, unless LF follows (-1: nothing is there yet)."""
    if line in (b"\r\n", b"\n", b"\r", b""):
        return True
    return len(line) == 2 and line[0] in b" \t" and line[1] == LF and following not in (-1, LF)


def is_folded(line: bytes) -> bool:
    """Does it continue the header before it (RFC 9112, section 5.2)?  A NUL counts as a blank."""
    return line[:1] in (b" ", b"\t", b"\0")


def field(line: bytes) -> tuple[bytes, bytes] | None:
    """(name, value) of a header, None where there is no colon."""
    name, colon, value = line.partition(b":")
    return (name.strip(), value.strip()) if colon else None


def begins_field(data: bytes, at: int) -> bool:
    """Is there a header's name and colon?"""
    return _FIELD.match(data, at) is not None


def looks_like_status(data: bytes, at: int = 0) -> bool:
    """Would a client take this for the beginning of a response, and not for its body?"""
    return _STATUS.match(data, at) is not None


def not_blank(data: bytes, at: int) -> int:
    """Where the first byte is that is no blank (for ``looks_like_status``), the end without one."""
    match = _NOT_BLANK.search(data, at)
    return match.start() if match else len(data)


def after_line_ends(data: bytes, at: int) -> int:
    """Where a run of CRs and LFs is over."""
    match = _LINE_ENDS.match(data, at)
    return match.end() if match else at


def may_become_status(data: bytes, at: int = 0) -> bool:
    """Is it too short to tell?"""
    return _PREFIX.match(data, at) is not None


def looks_like_request(data: bytes, at: int = 0) -> bool:
    """Would a server take this for another request?"""
    return _REQUEST.match(data, at) is not None


def may_become_request(data: bytes, at: int = 0) -> bool:
    """Is it the beginning of a line that may become a request's?"""
    return _REQUEST_BEGIN.match(data, at) is not None


def request_line(text: bytes) -> tuple[bytes, bytes, bytes]:
    """(method, URI, protocol); the protocol is empty where there is none (HTTP/0.9, or left out)."""
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
    """The first digits of a Content-Length; None without any, or where no length has so many."""
    digits = _DIGITS.search(value)
    if digits is None or len(digits[0].lstrip(b"0")) > 18:
        return None
    return int(digits[0])


def chunk_length(line: bytes) -> int:
    """What a chunk's first line says, or ``BLANK``, or ``NO_CHUNK``.

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
    """Can the bytes from ``at`` become a chunk's first line?"""
    end = min(len(data), at + ENOUGH)
    match = _CHUNK.match(data, at, end)
    assert match is not None
    return bool(match[1]) or match.end() == end


def codings(value: bytes) -> tuple[list[str], bool]:
    """(content codings in the order in which they were applied, was all understood), RFC 9110, section 8.4.

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
