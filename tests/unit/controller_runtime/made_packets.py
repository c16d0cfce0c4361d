"""ARP and neighbour discovery as whole frames, from integers: those that the controller makes, and others."""

from __future__ import annotations

from controller.runtime.packets import advertisement, arp_request
from wire import arp, nd

__all__ = ["advertisement", "arp_reply", "arp_request", "solicitation"]


def arp_reply(mac: int, address: int, asker_mac: int, asker: int) -> bytes:
    """Tells ``asker`` that ``address`` is at ``mac``."""
    return arp.reply(_octets(mac, 6), _octets(address, 4), _octets(asker_mac, 6), _octets(asker, 4))


def solicitation(sender_mac: int, sender: int, target: int) -> bytes:
    """Neighbour solicitation; see ``wire.nd``."""
    return nd.solicitation(_octets(sender_mac, 6), _octets(sender, 16), _octets(target, 16))


def _octets(value: int, count: int) -> bytes:
    return value.to_bytes(count, "big")
