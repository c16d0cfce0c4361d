"""The share that Open vSwitch's own hash gives to a connection, for ``Spread``.

This is the hash symmetric_l3l4+udp of the action multipath (ovs-actions(7)), on MurmurHash3's 32-bit mixing.
A build for processors with CRC32 instructions hashes differently; distributions' builds for amd64 do not use
them.  ``tests/switch/test_hashes_in_openvswitch.py`` compares it with a real Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Mapping

from wire.ethertype import IPV4, IPV6
from wire.protocol import SCTP, TCP, UDP

_ALL = 0xFFFFFFFF
_PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def symmetric(frame: Mapping[str, int], ways: int) -> int:
    """The share that a connection gets of ``ways`` by symmetric_l3l4+udp: a ``controller.simulate.Chooser``.

    A frame that is not IP has share 0. Not for the hash of addresses alone (fragments).
    """
    return _symmetric(frame) % ways


def _symmetric(frame: Mapping[str, int]) -> int:
    version = frame.get("eth_type")
    if version == IPV4:
        state = _add(0, _swapped(frame["ip_src"] ^ frame["ip_dst"], 4))
    elif version == IPV6:
        state = 0
        octets = (frame["ipv6_src"] ^ frame["ipv6_dst"]).to_bytes(16, "big")
        for at in range(0, 16, 4):
            state = _add(state, int.from_bytes(octets[at : at + 4], "little"))
    else:
        return 0
    protocol = frame.get("ip_proto", 0)
    state = _add(state, protocol)
    if protocol in _PORTS and not frame.get("ip_frag", 0):
        name = _PORTS[protocol]
        state = _add(state, _swapped(frame.get(f"{name}_src", 0) ^ frame.get(f"{name}_dst", 0), 2))
    return _finish(state)


def _swapped(value: int, size: int) -> int:
    """A number of the network's order as a processor of little-endian order reads it."""
    return int.from_bytes(value.to_bytes(size, "big"), "little")


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _ALL


def _mixed(state: int, data: int) -> int:
    data = data * 0xCC9E2D51 & _ALL
    return state ^ _rotated(data, 15) * 0x1B873593 & _ALL


def _add(state: int, data: int) -> int:
    return (_rotated(_mixed(state, data), 13) * 5 + 0xE6546B64) & _ALL


def _finish(state: int) -> int:
    state = (state ^ state >> 16) * 0x85EBCA6B & _ALL
    state = (state ^ state >> 13) * 0xC2B2AE35 & _ALL
    return state ^ state >> 16
