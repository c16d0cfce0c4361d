"""Which packet-ins are looked at: a limit for each port, before anything is spent on them.

Without it one host that floods the controller would delay what comes from all others, probes of functions
included.  Reads raw OFPT_PACKET_IN messages (OpenFlow 1.5.1, 7.4.1).
"""

from __future__ import annotations

from controller.runtime.learning import Bucket
from wire import ethertype

RATE = 500.0
"""Packet-ins a second from one port, and at once."""
_IN_PORT = b"\x80\x00\x00\x04"
"""The OXM header of in_port."""
_MATCH = 24
_PROBE = ethertype.octets(ethertype.PROBE)
_MOST_PORTS = 65536


def in_port(message: bytes) -> int | None:
    """The port that a packet-in's packet had come in by; None where it can't be found."""
    end = _MATCH + int.from_bytes(message[_MATCH + 2 : _MATCH + 4], "big")
    at = message.find(_IN_PORT, _MATCH + 4, end)
    return int.from_bytes(message[at + 4 : at + 8], "big") if at >= 0 and at + 8 <= end else None


def is_probe(message: bytes) -> bool:
    """Whether the packet within is of the probes' type."""
    size = int.from_bytes(message[_MATCH + 2 : _MATCH + 4], "big")
    kind = _MATCH + (size + 7) // 8 * 8 + 2 + 12
    return message[kind : kind + 2] == _PROBE


class Admission:
    """Counts by switch, port, and whether it is a probe: what passes a function must not hide its probes.

    ``limited``: False where users' apps run, which may live on packet-ins; then only probes are counted.
    """

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._buckets: dict[tuple[int, int, bool], Bucket] = {}

    def admits(self, dpid: int, message: bytes, now: float) -> bool:
        """Whether to look at this one."""
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
