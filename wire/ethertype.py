"""EtherTypes (IEEE 802 Numbers, IANA)."""

from __future__ import annotations

IPV4 = 0x0800
ARP = 0x0806
RARP = 0x8035
VLAN = 0x8100
IPV6 = 0x86DD
MPLS, MPLS_MULTICAST = 0x8847, 0x8848
QINQ = 0x88A8
"""The outer tag of IEEE 802.1ad."""
PROBE = 0x88B5
"""IEEE 802's local experimental type 1 (IEEE 802, 9.2.3): for the frames that probe a function's data
path."""
NSH = 0x894F

OF_VERSION = {4: IPV4, 6: IPV6}
"""IP version -> EtherType."""


def octets(ethertype: int) -> bytes:
    """An EtherType's two octets in a frame."""
    return ethertype.to_bytes(2, "big")
