"""The message that deletes tracked connections: Open vSwitch's NXT_CT_FLUSH (3.1 and newer).

Its layout is that of nx_ct_flush in nicira-ext.h: nested type-length-value fields, padded to 8 octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from controller.openflow.actions_ct import NICIRA
from controller.openflow.messages import header

EXPERIMENTER, NXT_CT_FLUSH = 4, 32
_ORIGINAL, _REPLY, _ZONE = 0, 1, 2
_PARTS = {"source": 0, "destination": 1, "tp_src": 2, "tp_dst": 3}
_HEAD = Struct("!IIBB6x")
_FIELD = Struct("!HH")


def ct_flush(
    zone: int,
    version: int,
    protocol: int,
    original: Mapping[str, int],
    reply: Mapping[str, int],
    xid: int = 0,
) -> bytes:
    """Delete the connections of ``zone`` with this protocol whose tuples have the given values.

    ``original`` and ``reply`` may give ``source``, ``destination`` (addresses of IP ``version``), ``tp_src``
    and ``tp_dst``."""
    body = b""
    for outer, given in ((_ORIGINAL, original), (_REPLY, reply)):
        if given:
            inner = (_part(name, given[name], version) for name in _PARTS if name in given)
            body += _field(outer, bytes(4) + b"".join(inner))
    body += _field(_ZONE, zone.to_bytes(2, "big") + bytes(2))
    return header(EXPERIMENTER, xid, _HEAD.pack(NICIRA, NXT_CT_FLUSH, protocol, 0) + body)


def _part(name: str, value: int, version: int) -> bytes:
    if name.startswith("tp_"):
        return _field(_PARTS[name], value.to_bytes(2, "big") + bytes(2))
    # IPv4 addresses as IPv4-mapped IPv6 ones (RFC 4291, 2.5.5.2)
    address = value | (0xFFFF << 32 if version == 4 else 0)
    return _field(_PARTS[name], address.to_bytes(16, "big"))


def _field(kind: int, value: bytes) -> bytes:
    length = _FIELD.size + len(value)
    return _FIELD.pack(kind, length) + value + bytes(-length % 8)
