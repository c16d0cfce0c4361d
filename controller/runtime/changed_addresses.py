"""Tells hosts that an address of the file has another MAC address: kernels remember the old one for a while.
Pure."""

from __future__ import annotations

from collections.abc import Iterator

from controller.runtime.address_plan import AddressPlan
from controller.runtime.commands import Send
from wire import arp, nd


def announced(before: AddressPlan, after: AddressPlan) -> list[Send]:
    """An announcement of each address that has another MAC address than before, to all other hosts of its
    network: an ARP announcement (RFC 5227, 3), an unsolicited neighbour advertisement (RFC 4861, 7.2.6)."""
    return [
        Send(port, frame)
        for network, own, frame in _frames(before, after)
        for port in after.members.get(network, ())
        if port != own
    ]


def _frames(before: AddressPlan, after: AddressPlan) -> Iterator[tuple[str, object, bytes]]:
    """The network of each such address, the port of its owner, and the frame."""
    for (network, family, address), (mac, port) in after.addresses.items():
        old = before.addresses.get((network, family, address))
        if old is None or old[0] == mac:
            continue
        octets = mac.to_bytes(6, "big")
        if family == 4:
            four = address.to_bytes(4, "big")
            yield network, port, arp.request(octets, four, four)
        else:
            yield network, port, nd.advertisement(octets, address.to_bytes(16, "big"), bytes(6), bytes(16))
