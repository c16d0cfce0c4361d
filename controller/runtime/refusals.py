"""The answer to the sender of a refused packet. Octets in, octets out; see ``wire.refusal``."""

from __future__ import annotations

from wire import ethertype, ip
from wire import refusal as wire_refusal

_IP = (ethertype.octets(ethertype.IPV4), ethertype.octets(ethertype.IPV6))


def refusal(frame: bytes) -> bytes | None:
    """The frame that tells the sender of ``frame`` that it is refused.

    None where no answer is allowed, or the frame is no whole IP packet (switches send whole packets).
    """
    if frame[12:14] not in _IP:
        return None
    packet = ip.read(frame[14:])
    if packet is None or len(packet.body) < packet.length:
        return None
    return wire_refusal.refusal(frame[:14], frame[14:])
