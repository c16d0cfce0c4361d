"""URIs for ``http.uri``: decoded once and normalized (RFC 3986, section 5.2.4).

As in Suricata's IDS personality: ``%XX`` and ``%uXXXX`` are decoded, backslashes in the path become slashes,
a run of slashes becomes one, ``.`` and ``..`` are removed; the query is only decoded.
"""

from __future__ import annotations

import re

_HEX = re.compile(rb"%(?:[uU]([0-9a-fA-F]{4})|([0-9a-fA-F]{2}))")
_PLAIN = re.compile(rb"%([0-9a-fA-F]{2})")


def _decoded(match: re.Match[bytes]) -> bytes:
    if match[1]:
        wide = int(match[1], 16)
        if 0xFF01 <= wide <= 0xFF5E:  # full-width forms fit their ASCII letters best
            wide -= 0xFEE0
        return bytes((wide,)) if wide < 256 else b"?"
    return bytes((int(match[2], 16),))


_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*:)//([^/?#\\]*)(.*)", re.DOTALL)


def authority(raw: bytes) -> bytes | None:
    """The authority of an absolute URI (RFC 3986, section 3.2) without user information; None for other
    URIs."""
    match = None if raw[:1] == b"/" else _ABSOLUTE.match(raw)
    return match[2].rpartition(b"@")[2] if match else None


def host_name(value: bytes) -> bytes:
    """The host of an authority or field Host, in small letters and without port."""
    value = value.strip().lower()
    if value.startswith(b"["):
        return value.partition(b"]")[0] + b"]"
    return value.partition(b":")[0]


def normalized(raw: bytes) -> bytes:
    """The URI for ``http.uri``: of an absolute one, the part after the authority (``uri-include-all:
    no``)."""
    if b"%" not in raw and b"\\" not in raw and b"//" not in raw and b"/." not in raw and raw[:1] == b"/":
        return raw
    if raw[:1] != b"/":
        match = _ABSOLUTE.match(raw)
        if match:
            return normalized(match[3]) if match[3][:1] in (b"/", b"\\") else match[3] or b"/"
    path, mark, query = raw.partition(b"?")
    path = _HEX.sub(_decoded, path).replace(b"\\", b"/")
    path = re.sub(rb"/{2,}", b"/", path)
    path = without_dots(path)
    return path + mark + _PLAIN.sub(lambda m: bytes((int(m[1], 16),)), query)


def without_dots(path: bytes) -> bytes:
    """RFC 3986's remove_dot_segments."""
    if b"." not in path:
        return path
    out: list[bytes] = []
    rooted = path.startswith(b"/")
    segments = path.split(b"/")
    last = len(segments) - 1
    for at, segment in enumerate(segments[1:] if rooted else segments, 1 if rooted else 0):
        if segment == b".":
            if at == last:
                out.append(b"")
        elif segment == b"..":
            if out:
                out.pop()
            if at == last:
                out.append(b"")
        else:
            out.append(segment)
    return (b"/" if rooted else b"") + b"/".join(out)
