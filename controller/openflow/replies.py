"""Messages that we get, octets to plain values, without an object for each field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from controller.flow.tables import Bucket, Group
from controller.openflow import actions, fields, selection

_FLOW_DESC = Struct("!H2xBxHHHHHQHH")
_OXS_CLASS = 0x8002
_DURATION, _PACKETS, _BYTES, _IDLE = 0, 4, 5, 1
_KIND = {0: "all", 1: "select", 2: "indirect", 3: "ff"}


class Entry(NamedTuple):
    """One installed flow with its counters. ``duration`` and ``idle`` in seconds."""

    table: int
    priority: int
    cookie: int
    packets: int
    bytes: int
    duration: float
    idle: int


def parse_flow_desc(body: bytes) -> Iterator[Entry]:
    """The entries of one OFPMP_FLOW_DESC reply; ``body`` starts after the multipart header
    (1.5.1, 7.3.5.2; counters as OXS, 7.2.4)."""
    start, unpack = 0, _FLOW_DESC.unpack_from
    end = len(body)
    while start + 32 <= end:
        length, table, priority, _, _, _, _, cookie, _, match_length = unpack(body, start)
        if length < 32:
            raise ValueError(f"flow entry of {length} octets")
        stats = start + 24 + (match_length + 7) // 8 * 8
        packets = octets = idle = 0
        duration = 0.0
        at, stats_end = stats + 4, stats + int.from_bytes(body[stats + 2 : stats + 4], "big")
        while at + 4 <= stats_end:
            kind = body[at + 2] >> 1
            size = body[at + 3]
            value = int.from_bytes(body[at + 4 : at + 4 + size], "big")
            if kind == _DURATION:
                duration = (value >> 32) + (value & 0xFFFFFFFF) / 1e9
            elif kind == _PACKETS:
                packets = value
            elif kind == _BYTES:
                octets = value
            elif kind == _IDLE:
                idle = value >> 32
            at += 4 + size
        yield Entry(table, priority, cookie, packets, octets, duration, idle)
        start += length


_LENGTH_AND_COOKIE = Struct("!H14xQ")


def parse_cookies(body: bytes) -> list[int]:
    """The cookies alone of an OFPMP_FLOW_DESC reply, which are enough to compare with the wanted flows;
    several times faster than whole entries."""
    cookies, start, unpack = [], 0, _LENGTH_AND_COOKIE.unpack_from
    end = len(body) - 24
    while start <= end:
        length, cookie = unpack(body, start)
        if length < 32:
            raise ValueError(f"flow entry of {length} octets")
        cookies.append(cookie)
        start += length
    return cookies


def parse_group_desc(body: bytes) -> Iterator[Group]:
    """The groups of one OFPMP_GROUP_DESC reply (7.3.5.11), comparable with compiled ones."""
    start, end = 0, len(body)
    while start + 16 <= end:
        length = int.from_bytes(body[start : start + 2], "big")
        if length < 16:
            raise ValueError(f"group of {length} octets")
        kind = body[start + 2]
        number = int.from_bytes(body[start + 4 : start + 8], "big")
        size = int.from_bytes(body[start + 8 : start + 10], "big")
        chosen = selection.decode(body, start + 16 + size, start + length)
        buckets = _same_buckets(body[start + 16 : start + 16 + size], bool(chosen))
        yield Group(number, _KIND.get(kind, str(kind)), buckets, fields=chosen)
        start += length


@lru_cache(maxsize=8192)
def _same_buckets(body: bytes, named: bool) -> tuple[Bucket, ...]:
    """Many groups of a lab have equal buckets, so each array is decoded once."""
    return tuple(_buckets(body, 0, len(body), named))


def _buckets(body: bytes, start: int, end: int, named: bool) -> Iterator[Bucket]:
    """``named``: the buckets have identifiers of their own; otherwise these are places in the array."""
    while start + 8 <= end:
        length, size, number = Struct("!HHI").unpack_from(body, start)
        if length < 8:
            raise ValueError(f"bucket of {length} octets")
        bucket_actions = actions.decode(body, start + 8, start + 8 + size)
        watch, weight = None, 1
        at = start + 8 + size
        while at + 4 <= start + length:
            kind, property_length = Struct("!HH").unpack_from(body, at)
            if kind == 0:
                weight = int.from_bytes(body[at + 4 : at + 6], "big")
            elif kind == 1:
                port = int.from_bytes(body[at + 4 : at + 8], "big")
                watch = None if port == 0xFFFFFFFF else port
            at += max((property_length + 7) // 8 * 8, 8)
        yield Bucket(bucket_actions, watch, weight, number if named else None)  # type: ignore[arg-type]
        start += length


class PacketIn(NamedTuple):
    """A frame that a flow sent to the controller. ``fields`` are the pipeline fields: in_port, registers."""

    table: int
    cookie: int
    reason: int
    fields: dict[str, int]
    data: bytes

    @property
    def in_port(self) -> int:
        return self.fields.get("in_port", 0)


def parse_packet_in(message: bytes) -> PacketIn:
    """A whole OFPT_PACKET_IN message, header included (7.4.1)."""
    _, total, reason, table, cookie, _, match_length = Struct("!IHBBQHH").unpack_from(message, 8)
    start = 24
    tlvs = fields.decode(message, start + 4, start + match_length)
    at = start + (match_length + 7) // 8 * 8 + 2
    pipeline_fields: dict[str, int] = {}
    for name, value, _ in tlvs:
        pipeline_fields |= _registers(name, value)
    return PacketIn(table, cookie, reason, pipeline_fields, message[at : at + total])


def _registers(name: str, value: int) -> dict[str, int]:
    """A 64-bit register as the two registers that it is made of, the first its upper half; any other field
    unchanged."""
    if not name.startswith("0x8001"):
        return {name: value}
    first = 2 * (int(name, 16) >> 9 & 0x7F)
    return {f"reg{first}": value >> 32, f"reg{first + 1}": value & 0xFFFFFFFF}
