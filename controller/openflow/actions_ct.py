"""Actions of connection tracking and meters, both ways.

``ct``, the ``nat`` within it and ``ct_clear`` are Open vSwitch's (ovs-actions(7); their layout is that of
nx_action_conntrack and nx_action_nat in its ofp-actions.c); ``meter`` is an action since OpenFlow 1.5
(1.5.1, 7.2.6.9).
"""

from __future__ import annotations

from struct import Struct

from controller.flow.tables import Action, Ct, CtClear, Table, ToMeter, table_of
from controller.openflow import fields

METER, SET_FIELD, EXPERIMENTER = 29, 25, 0xFFFF
NICIRA = 0x00002320
CT, NAT, CT_CLEAR = 35, 36, 43
COMMIT, FORCE = 1, 2
SRC, DST = 1, 2
_NO_TABLE = 0xFF
_IPV4_MIN, _IPV6_MIN, _PROTO_MIN, _PROTO_MAX = 1 << 0, 1 << 2, 1 << 4, 1 << 5
_IPV4_MAX, _IPV6_MAX = 1 << 1, 1 << 3

_HEAD = Struct("!HH")
_METER = Struct("!HHI")
_CT = Struct("!HHIHHIHB3xH")
_NAT = Struct("!HHIH2xHH")
_CLEAR = Struct("!HHIH6x")
_CLEAR_OCTETS = _CLEAR.pack(EXPERIMENTER, 16, NICIRA, CT_CLEAR)


def encode(action: Action) -> bytes | None:
    """One action's wire form; None: not one of these actions."""
    if isinstance(action, Ct):
        return _ct(action)
    if isinstance(action, CtClear):
        return _CLEAR_OCTETS
    if isinstance(action, ToMeter):
        return _METER.pack(METER, 8, action.meter)
    return None


def _ct(action: Ct) -> bytes:
    nested = b"" if action.nat is None else _nat(action)
    if action.mark is not None:
        body = fields.encode("ct_mark", action.mark)
        length = _HEAD.size + len(body)
        nested += _HEAD.pack(SET_FIELD, length + -length % 8) + body + bytes(-length % 8)
    flags = (COMMIT if action.commit else 0) | (FORCE if action.force else 0)
    table = _NO_TABLE if action.table is None else action.table
    return (
        _CT.pack(EXPERIMENTER, _CT.size + len(nested), NICIRA, CT, flags, 0, action.zone, table, 0) + nested
    )


def _nat(action: Ct) -> bytes:
    present, body = 0, b""
    if action.nat and action.address is not None:
        present |= _IPV4_MIN if action.version == 4 else _IPV6_MIN
        body += action.address.to_bytes(4 if action.version == 4 else 16, "big")
        if action.port is not None:
            first, last = action.port
            present |= _PROTO_MIN | (_PROTO_MAX if last != first else 0)
            body += first.to_bytes(2, "big") + (last.to_bytes(2, "big") if last != first else b"")
    flags = {"": 0, "src": SRC, "dst": DST}[action.nat or ""]
    length = _NAT.size + len(body)
    pad = -length % 8
    return _NAT.pack(EXPERIMENTER, length + pad, NICIRA, NAT, flags, present) + body + bytes(pad)


def decode(kind: int, data: bytes, start: int, end: int) -> Action | None:
    """The action of ``data[start:end]``; None: it is none of these, or one that we never send."""
    if kind == METER:
        return ToMeter(_METER.unpack_from(data, start)[2])
    if kind != EXPERIMENTER or end - start < 16:
        return None
    vendor, subtype = Struct("!IH").unpack_from(data, start + 4)
    if vendor != NICIRA or subtype not in (CT, CT_CLEAR):
        return None
    if subtype == CT_CLEAR:
        return CtClear()
    if end - start < _CT.size:
        return None
    _, _, _, _, flags, source, zone, table, alg = _CT.unpack_from(data, start)
    known = table == _NO_TABLE or table_of(table) is not None
    if source or alg or not known or flags & ~(COMMIT | FORCE):
        return None
    tracking = Ct(
        zone,
        None if table == _NO_TABLE else Table(table),
        bool(flags & COMMIT),
        force=bool(flags & FORCE),
    )
    return _nested(tracking, data, start + _CT.size, end)


def _nested(tracking: Ct, data: bytes, start: int, end: int) -> Ct | None:
    while start + 8 <= end:
        kind, length = _HEAD.unpack_from(data, start)
        if length < 8 or start + length > end:
            return None
        if kind == SET_FIELD:
            ((name, value, mask),) = fields.decode(data, start + 4, start + 12)
            if name != "ct_mark" or mask is not None:
                return None
            tracking = tracking._replace(mark=value)
        elif kind == EXPERIMENTER and length >= _NAT.size and data[start + 8 : start + 10] == b"\0\x24":
            translated = _translation(tracking, data, start)
            if translated is None:
                return None
            tracking = translated
        else:
            return None
        start += length
    return tracking


def _translation(tracking: Ct, data: bytes, start: int) -> Ct | None:
    _, _, _, _, flags, present = _NAT.unpack_from(data, start)
    if flags not in (0, SRC, DST) or present & (_IPV4_MAX | _IPV6_MAX):
        return None
    tracking = tracking._replace(nat={0: "", SRC: "src", DST: "dst"}[flags])
    at = start + _NAT.size
    for bit, size, version in ((_IPV4_MIN, 4, 4), (_IPV6_MIN, 16, 6)):
        if present & bit:
            tracking = tracking._replace(address=int.from_bytes(data[at : at + size], "big"), version=version)
            at += size
    if present & _PROTO_MIN:
        first = last = int.from_bytes(data[at : at + 2], "big")
        if present & _PROTO_MAX:
            last = int.from_bytes(data[at + 2 : at + 4], "big")
        tracking = tracking._replace(port=(first, last))
    return tracking
