"""Actions, both ways (OpenFlow 1.5.1, 7.2.6)."""

from __future__ import annotations

from struct import Struct

from controller.flow.tables import Action, DecTtl, Move, Output, SetField, ToGroup
from controller.openflow import actions_ct, actions_steering, fields

OUTPUT, GROUP, DEC_NW_TTL, SET_FIELD, COPY_FIELD = 0, 22, 24, 25, 28
WHOLE_FRAME = 0xFFFF
"""max_len of an output to the controller: everything, unbuffered (OFPCML_NO_BUFFER)."""

_OUTPUT = Struct("!HHIH6x")
_GROUP = Struct("!HHI")
_COPY = Struct("!HHHHH2x")
_HEAD = Struct("!HH")


def encode(action: Action) -> bytes:
    """One action's wire form, padded to 8 octets. Some actions are several in a row on the wire."""
    if isinstance(action, Output):
        return _OUTPUT.pack(OUTPUT, 16, action.port, WHOLE_FRAME)
    if isinstance(action, ToGroup):
        return _GROUP.pack(GROUP, 8, action.group)
    if isinstance(action, SetField):
        body = fields.encode(action.field, action.value, action.mask, fields.WRITTEN)
        return _padded(_HEAD.size, SET_FIELD, body)
    if isinstance(action, DecTtl):
        return _padded(_HEAD.size, DEC_NW_TTL, b"")
    if isinstance(action, Move):
        body = _COPY.pack(0, 0, action.bits, action.src_bit, action.dst_bit)[_HEAD.size :]
        return _padded(_HEAD.size, COPY_FIELD, body + fields.header(action.src) + fields.header(action.dst))
    steering = actions_steering.encode(action, encode)
    if steering is not None:
        return steering
    tracking = actions_ct.encode(action)
    if tracking is not None:
        return tracking
    raise TypeError(f"no wire form of {action!r}")


def _padded(head: int, kind: int, body: bytes) -> bytes:
    length = head + len(body)
    pad = -length % 8
    return _HEAD.pack(kind, length + pad) + body + bytes(pad)


class Unknown(tuple[int, bytes]):
    """An action that we never send, as (type, octets); it equals none of ours."""


def decode(data: bytes, start: int, end: int) -> tuple[Action | Unknown, ...]:
    """The actions of ``data[start:end]``; those that we never send as ``Unknown``."""
    decoded: list[Action | Unknown] = []
    while start + 4 <= end:
        kind, length = _HEAD.unpack_from(data, start)
        if length < 8:
            break
        decoded.append(_one(kind, data, start, start + length))
        start += length
    return tuple(actions_steering.joined(decoded, _written))


def _written(action: Action | Unknown) -> tuple[str, int] | None:
    whole = isinstance(action, SetField) and action.mask is None
    return (action.field, action.value) if whole and isinstance(action, SetField) else None


def _one(kind: int, data: bytes, start: int, end: int) -> Action | Unknown:
    if kind == OUTPUT:
        return Output(_OUTPUT.unpack_from(data, start)[2])
    if kind == GROUP:
        return ToGroup(_GROUP.unpack_from(data, start)[2])
    if kind == DEC_NW_TTL:
        return DecTtl()
    if kind == SET_FIELD:
        head = int.from_bytes(data[start + 4 : start + 8], "big")
        return SetField(*fields.decode(data, start + 4, start + 8 + (head & 0xFF))[0])
    if kind == COPY_FIELD:
        _, _, bits, src_bit, dst_bit = _COPY.unpack_from(data, start)
        src = fields.NAMES.get(int.from_bytes(data[start + 12 : start + 16], "big") & 0xFFFFFE00)
        dst = fields.NAMES.get(int.from_bytes(data[start + 16 : start + 20], "big") & 0xFFFFFE00)
        if src is not None and dst is not None:
            return Move(src, dst, bits, src_bit, dst_bit)
    ours: Action | None = actions_steering.decode(kind, data, start, end, decode)
    if ours is None:
        ours = actions_ct.decode(kind, data, start, end)
    return Unknown((kind, data[start:end])) if ours is None else ours
