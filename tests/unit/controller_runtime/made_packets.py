"""ARP and neighbour discovery as whole frames, from integers."""

from __future__ import annotations

from wire import arp, nd


def arp_request(sender_mac: int, sender: int, target: int) -> bytes:
    """Who has ``target``? A broadcast frame of 42 bytes."""
    return arp.request(_mac(sender_mac), _ip4(sender), _ip4(target))


def arp_reply(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """Tells ``asker`` that ``address`` is at ``mac``."""
    return arp.reply(_mac(mac), _ip4(address), _mac(asker_mac), _ip4(asker))


def solicitation(sender_mac: int, sender: int, target: int) -> bytes:
    """Neighbour solicitation; see ``wire.nd``."""
    return nd.solicitation(_mac(sender_mac), _ip6(sender), _ip6(target))


def advertisement(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """Neighbour advertisement; see ``wire.nd``."""
    return nd.advertisement(_mac(mac), _ip6(address), _mac(asker_mac), _ip6(asker))


def _mac(value: int) -> bytes:
    return value.to_bytes(6, "big")


def _ip4(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _ip6(value: int) -> bytes:
    return value.to_bytes(16, "big")
