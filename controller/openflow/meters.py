"""Meters, both ways (OpenFlow 1.5.1, 7.3.4.4 and 7.3.5.15): ours drop packets above a rate."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from controller.flow.tables import Meter
from controller.openflow.messages import MULTIPART_REQUEST, header

METER_MOD = 29
ADD, MODIFY, DELETE = 0, 1, 2
METER_DESC = 10
ALL_METERS = 0xFFFFFFFF
_PACKETS, _BURST, _DROP = 2, 4, 1
_MOD = Struct("!HHI")
_BAND = Struct("!HHII4x")
_DESC = Struct("!HHI")


def meter_mod(meter: Meter, command: int = ADD, xid: int = 0) -> bytes:
    """Add a meter, or change an existing one. A bundle cannot hold it: it is sent by itself."""
    band = _BAND.pack(_DROP, _BAND.size, meter.rate, meter.burst)
    return header(METER_MOD, xid, _MOD.pack(command, _PACKETS | _BURST, meter.id) + band)


def delete_meter(number: int = ALL_METERS, xid: int = 0) -> bytes:
    """Delete one meter (by default all), and with it all flows that lead to it."""
    return header(METER_MOD, xid, _MOD.pack(DELETE, 0, number))


def meter_desc_request(xid: int = 0) -> bytes:
    """Ask for all meters (OFPMP_METER_DESC)."""
    return header(MULTIPART_REQUEST, xid, Struct("!HH4xI4x").pack(METER_DESC, 0, ALL_METERS))


def parse_meter_desc(body: bytes) -> Iterator[Meter]:
    """The meters of one OFPMP_METER_DESC reply. A meter of another form than ours has rate and burst -1."""
    start, end = 0, len(body)
    while start + _DESC.size <= end:
        length, flags, number = _DESC.unpack_from(body, start)
        if length < _DESC.size:
            raise ValueError(f"meter of {length} octets")
        rate = burst = -1
        if flags == _PACKETS | _BURST and length == _DESC.size + _BAND.size:
            kind, _, rate, burst = _BAND.unpack_from(body, start + _DESC.size)
            if kind != _DROP:
                rate = burst = -1
        yield Meter(number, rate, burst)
        start += length
