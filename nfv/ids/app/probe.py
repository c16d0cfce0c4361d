"""Detects the application protocol from the first bytes of a flow (user guide "Protocols", detection by
patterns and ports).
"""

from __future__ import annotations

import re

_REQUEST = re.compile(
    rb"(?:[\r\n]{0,4})(?:GET|PUT|POST|HEAD|TRACE|OPTIONS|CONNECT|DELETE|PATCH|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|"
    rb"UNLOCK|CHECKOUT|UNCHECKOUT|MKWORKSPACE|UPDATE|LABEL|REPORT|MERGE|BASELINE-CONTROL|CHECKIN|VERSION-CONTROL|MKACTIVITY|"
    rb"ACL|SEARCH|ORDERPATCH|RPC_CONNECT|BDELETE|BPROPFIND|SUBSCRIBE|NOTIFY)[ \t]"
)
_ANY_METHOD = re.compile(rb"[A-Za-z0-9_\-]{1,32}[ \t]+\S[^\r\n]{0,8000}[ \t]HTTP/\d\.\d\r?\n")
_RESPONSE = re.compile(rb"HTTP/(?:0\.9|1\.[01])[ \t\r\n]|HTTP/1\.[01]$")

ENOUGH = 4096
"""After so many bytes of one direction, the detection gives up."""


def tcp(data: bytes, toserver: bool, dp: int) -> str | None:
    """A protocol's name; '' for no known protocol; None if more bytes are needed."""
    first = data[:1]
    if toserver:
        if _REQUEST.match(data) or _ANY_METHOD.match(data):
            return "http"
    elif _RESPONSE.match(data):
        return "http"
    if first == b"\x16" and len(data) >= 3:
        if data[1] == 3 and data[2] <= 4:
            if len(data) < 6:
                return None
            return "tls" if data[5] == (1 if toserver else 2) or data[5] in (0, 1, 2, 11) else ""
        return ""
    if data[:4] == b"SSH-":
        return "ssh"
    if dp == 53:
        if len(data) < 14:
            return None
        return "dns" if dns(data[2:], int.from_bytes(data[:2], "big")) else ""
    if len(data) < 8 and (first.isalpha() or first in b"\x16\r\n"):
        return None
    if len(data) < 300 and toserver and re.match(rb"[A-Z_\-]{1,32}( [^\r\n]*)?$", data):
        return None
    return ""


def dns(data: bytes, size: int | None = None) -> bool:
    """Whether it looks like a DNS message (RFC 1035, section 4.1.1)."""
    if len(data) < 12 or (size is not None and size < 12):
        return False
    flags = data[2] << 8 | data[3]
    opcode = flags >> 11 & 15
    if opcode > 6 or flags & 0x0040:
        return False
    counts = [data[i] << 8 | data[i + 1] for i in (4, 6, 8, 10)]
    if flags & 0x8000:
        return counts[0] + counts[1] + counts[2] + counts[3] > 0 and counts[0] <= 64
    return 0 < counts[0] <= 64 and counts[1] <= 64


def udp(data: bytes, sp: int, dp: int) -> str:
    """The protocol of a datagram, '' for none."""
    if (dp == 53 or sp == 53) and dns(data):
        return "dns"
    return ""
