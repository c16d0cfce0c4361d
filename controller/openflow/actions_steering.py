"""Actions that steer, both ways: VLAN tags (OpenFlow 1.5.1, 7.2.6) and Open vSwitch's own (ovs-actions(7)).

One action of ``controller.flow.tables`` may be several on the wire: a tag is pushed and then numbered; an NSH
header is put on and filled in, and then gets an Ethernet header.  ``joined`` makes one action of such a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from controller.flow.tables import (
    Action,
    Clone,
    DecapNsh,
    EncapNsh,
    PopVlan,
    PushVlan,
    Resubmit,
    Spread,
    table_of,
)
from controller.openflow import fields
from wire.ethertype import VLAN

PUSH_VLAN, POP_VLAN, SET_FIELD, EXPERIMENTER = 17, 18, 25, 0xFFFF
NICIRA = 0x00002320
MULTIPATH, RESUBMIT_TABLE, CLONE, ENCAP, DECAP = 10, 14, 42, 46, 47
PRESENT = 0x1000
"""OFPVID_PRESENT (7.2.3.8): the bit of vlan_vid that says that there is a tag at all."""

SYMMETRIC_L3L4_UDP, SYMMETRIC_L3, MODULO_N = 3, 6, 0
_SAME_PORT = 0xFFF8
"""OFPP_IN_PORT of OpenFlow 1.0: resubmit with the ingress port as it is."""
ETHERNET, NSH, WHATEVER = 0x00000000, 0x0001894F, 0x0000FFFE
"""Packet types (7.2.3.11): namespace and type. With the last, the header says what follows it."""
_NSH_CLASS, _MD_TYPE, _MD_TYPE_2 = 4, 1, 2

_HEAD = Struct("!HH")
_PUSH = Struct("!HHH2x")
_VENDOR = Struct("!HHIH")
_MULTIPATH = Struct("!HHIHHH2xHHI2xHI")
_RESUBMIT = Struct("!HHIHHB3x")
_ENCAP = Struct("!HHIHHI")
_DECAP = Struct("!HHIH2xI")
_ETHERNET = _ENCAP.pack(EXPERIMENTER, 16, NICIRA, ENCAP, 0, ETHERNET)
_ENCAP_NSH = _ENCAP.pack(EXPERIMENTER, 24, NICIRA, ENCAP, 0, NSH) + bytes(
    (0, _NSH_CLASS, _MD_TYPE, 5, _MD_TYPE_2, 0, 0, 0)
)
_DECAP_ANY = _DECAP.pack(EXPERIMENTER, 16, NICIRA, DECAP, WHATEVER)


def _set(name: str, value: int) -> bytes:
    body = fields.encode(name, value, None, fields.WRITTEN)
    length = _HEAD.size + len(body)
    pad = -length % 8
    return _HEAD.pack(SET_FIELD, length + pad) + body + bytes(pad)


def encode(action: Action, inner: Callable[[Action], bytes]) -> bytes | None:
    """One action's wire form; ``inner`` encodes the actions of a clone. None: not one of these actions."""
    if isinstance(action, PushVlan):
        return _PUSH.pack(PUSH_VLAN, 8, VLAN) + _set("vlan_vid", PRESENT | action.vid)
    if isinstance(action, PopVlan):
        return _HEAD.pack(POP_VLAN, 8) + bytes(4)
    if isinstance(action, Resubmit):
        return _RESUBMIT.pack(EXPERIMENTER, 16, NICIRA, RESUBMIT_TABLE, _SAME_PORT, action.table)
    if isinstance(action, Clone):
        body = bytes(6) + b"".join(map(inner, action.actions))
        return _VENDOR.pack(EXPERIMENTER, _VENDOR.size + len(body), NICIRA, CLONE) + body
    if isinstance(action, Spread):
        head, size, _ = fields.WRITTEN[action.field]
        return _MULTIPATH.pack(
            EXPERIMENTER, _MULTIPATH.size, NICIRA, MULTIPATH,
            SYMMETRIC_L3L4_UDP if action.ports else SYMMETRIC_L3, 0, MODULO_N,
            action.ways - 1, 0, 8 * size - 1, head | size,
        )  # fmt: skip
    if isinstance(action, EncapNsh):
        return b"".join(
            (
                _ENCAP_NSH,
                _set("nsh_spi", action.spi),
                _set("nsh_si", action.si),
                _ETHERNET,
                _set("eth_src", action.eth_src),
                _set("eth_dst", action.eth_dst),
            )
        )
    if isinstance(action, DecapNsh):
        return _DECAP_ANY * 2
    return None


class Part(tuple[str, int]):
    """A wire action that is part of one of ours: its kind, and its number."""


PUSHED = Part(("push_vlan", VLAN))
NSH_PUT_ON = Part(("encap", NSH))
FRAMED = Part(("encap", ETHERNET))
TAKEN_OFF = Part(("decap", WHATEVER))


def decode(
    kind: int, data: bytes, start: int, end: int, inner: Callable[[bytes, int, int], tuple[Any, ...]]
) -> Any:
    """The action, or the part of one, in ``data[start:end]``; None when we never send it."""
    if kind == PUSH_VLAN and data[start + 4 : start + 6] == b"\x81\x00":
        return PUSHED
    if kind == POP_VLAN:
        return PopVlan()
    if kind != EXPERIMENTER or end - start < 16 or data[start + 4 : start + 8] != b"\x00\x00\x23\x20":
        return None
    subtype = int.from_bytes(data[start + 8 : start + 10], "big")
    if subtype == RESUBMIT_TABLE:
        _, _, _, _, port, table = _RESUBMIT.unpack_from(data, start)
        known = table_of(table)
        return Resubmit(known) if port == _SAME_PORT and known is not None else None
    if subtype == CLONE:
        return Clone(inner(data, start + 16, end))
    if subtype == MULTIPATH and end - start == _MULTIPATH.size:
        *_, hashed, basis, algorithm, last, _, bits, head = _MULTIPATH.unpack_from(data, start)
        name = fields.NAMES.get(head & 0xFFFFFE00)
        by = {SYMMETRIC_L3L4_UDP: True, SYMMETRIC_L3: False}.get(hashed)
        if by is not None and (basis, algorithm) == (0, MODULO_N) and name is not None:
            return Spread(name, last + 1, by) if bits == 8 * (head & 0xFF) - 1 else None
    if data[start:end] == _ENCAP_NSH:
        return NSH_PUT_ON
    if data[start:end] == _ETHERNET:
        return FRAMED
    if data[start:end] == _DECAP_ANY:
        return TAKEN_OFF
    return None


def joined(decoded: Sequence[Any], is_set: Callable[[Any], tuple[str, int] | None]) -> list[Any]:
    """The actions, with each row of parts as one action. ``is_set``: field and value of an unmasked
    set-field."""
    actions: list[Any] = []
    at = 0
    while at < len(decoded):
        action, used = _row(decoded[at : at + 6], is_set)
        actions.append(action)
        at += used
    return actions


def _row(decoded: Sequence[Any], is_set: Callable[[Any], tuple[str, int] | None]) -> tuple[Any, int]:
    first = decoded[0]
    if type(first) is not Part:
        return first, 1
    written = [is_set(decoded_action) for decoded_action in decoded]
    if first == PUSHED and len(decoded) > 1 and written[1] is not None and written[1][0] == "vlan_vid":
        return PushVlan(written[1][1] & ~PRESENT), 2
    if first == TAKEN_OFF and decoded[1:2] == [TAKEN_OFF]:
        return DecapNsh(), 2
    wanted = [None, "nsh_spi", "nsh_si", None, "eth_src", "eth_dst"]
    if first == NSH_PUT_ON and [None if field is None else field[0] for field in written] == wanted:
        values = [field[1] for field in written if field is not None]
        return EncapNsh(*values), 6
    return first, 1
