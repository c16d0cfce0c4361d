"""Which packet-ins the controller reads: a limit for each port, applied before they are parsed.

Without it one host that floods the controller would delay the packets of all others, and probes of functions.
Reads raw OFPT_PACKET_IN messages (OpenFlow 1.5.1, 7.4.1).
"""

from __future__ import annotations

from controller.runtime.bucket import Bucket
from wire import ethertype

RATE = 500.0
"""Packet-ins a second from one port; also the burst."""
_IN_PORT = b"\x80\x00\x00\x04"
"""The OXM header of in_port."""
_MATCH = 24
_PROBE = ethertype.octets(ethertype.PROBE)
_MOST_PORTS = 65536


def in_port(message: bytes) -> int | None:
    """The ingress port of a packet-in's packet; None when the message does not have it."""
    end = _MATCH + int.from_bytes(message[_MATCH + 2 : _MATCH + 4], "big")
    at = message.find(_IN_PORT, _MATCH + 4, end)
    return int.from_bytes(message[at + 4 : at + 8], "big") if at >= 0 and at + 8 <= end else None


def is_probe(message: bytes) -> bool:
    """Whether the packet in the message has the probes' EtherType."""
    size = int.from_bytes(message[_MATCH + 2 : _MATCH + 4], "big")
    kind = _MATCH + (size + 7) // 8 * 8 + 2 + 12
    return message[kind : kind + 2] == _PROBE


class Admission:
    """Counts packets and probes of each port apart: a function's traffic must not use up its probes' limit.

    ``limited``: False where users' apps run, which may need all packet-ins; then only probes have a limit.
    """

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._buckets: dict[tuple[int, int, bool], Bucket] = {}

    def admits(self, dpid: int, message: bytes, now: float) -> bool:
        """Whether to parse this message."""
        probe = is_probe(message)
        port = in_port(message) if self._limited or probe else None
        if port is None:
            return True
        key = (dpid, port, probe)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _MOST_PORTS:
                self._buckets.clear()
            bucket = self._buckets[key] = Bucket(RATE, RATE, RATE, now)
        return bucket.take(now)
