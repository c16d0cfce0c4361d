"""How a select group chooses its bucket: Open vSwitch's group property (Netronome's extension).

Layout: ntr_group_prop_selection_method in Open vSwitch's netronome-ext.h. Method ``hash`` chooses by a hash
of the listed fields and of each bucket's identifier: when a bucket comes or goes, only its own share moves
(rendezvous hashing). A field that a packet does not have is left out.
"""

from __future__ import annotations

from struct import Struct

from controller.openflow import fields

_EXPERIMENTER, NETRONOME, SELECTION_METHOD = 0xFFFF, 0x0000154D, 1
_PROPERTY = Struct("!HHII4x16sQ")
_HASH = b"hash"


def encode(names: tuple[str, ...]) -> bytes:
    """The property by which these fields choose the bucket; no octets when there are no fields."""
    if not names:
        return b""
    body = b"".join(fields.encode(name, (1 << 8 * fields.FIELDS[name].size) - 1) for name in names)
    size = _PROPERTY.size + len(body)
    head = _PROPERTY.pack(_EXPERIMENTER, size, NETRONOME, SELECTION_METHOD, _HASH, 0)
    return head + body + bytes(-size % 8)


def decode(data: bytes, start: int, end: int) -> tuple[str, ...]:
    """The fields that the properties in ``data[start:end]`` list; none where the switch chooses by itself."""
    while start + _PROPERTY.size <= end:
        kind, size, vendor, what, method, _ = _PROPERTY.unpack_from(data, start)
        if (kind, vendor, what) == (_EXPERIMENTER, NETRONOME, SELECTION_METHOD):
            listed = fields.decode(data, start + _PROPERTY.size, start + size)
            known = method.rstrip(b"\0") == _HASH
            return tuple(name for name, _, _ in listed) if known else (method.decode("ascii", "replace"),)
        start += max(size + -size % 8, 8)
    return ()
