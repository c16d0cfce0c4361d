"""What the tests of the engine are given is what scapy builds."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.unit.nfv.ids.ids_values import MACS, Talk


@pytest.mark.parametrize("payload", [b"", b"odd", b"even", b"x" * 1400])
@pytest.mark.parametrize("flags", ["S", "SA", "A", "PA", "FA", "R", "RA"])
def test_frames_of_a_connection(flags: str, payload: bytes) -> None:
    talk = Talk(sp=5000, dp=80)
    talk.window = 65535
    for side in (0, 1):
        (src, sp), (dst, dp) = talk.ends[side], talk.ends[1 - side]
        ack = talk.seq[1 - side] if "A" in flags else 0
        segment = TCP(sport=sp, dport=dp, flags=flags, seq=talk.seq[side], ack=ack, window=65535)
        packet = Ether(src=MACS[0], dst=MACS[1]) / IP(src=src, dst=dst, id=0) / segment
        expected = bytes(packet / Raw(payload) if payload else packet)
        assert talk.frame(side, flags, payload) == expected
        assert talk.seq[side] == segment.seq + len(payload) + ("S" in flags) + ("F" in flags)
