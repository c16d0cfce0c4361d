"""The addresses in files that configure interfaces: FRRouting's (and Quagga's), and those of ifupdown. Pure.

FRRouting: ``interface eth1`` begins a block, and ``ip address 10.0.0.1/24`` in it gives the interface an
address (https://docs.frrouting.org/en/latest/zebra.html). ifupdown: ``iface eth1 inet static``, with
``address``, ``netmask`` and ``gateway`` (interfaces(5)).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from typing import NamedTuple

_INTERFACE = re.compile(r"int(?:erface)? +(\S+)")
_ADDRESS = re.compile(r"ip(?:v6)? +addr(?:ess)? +([0-9A-Fa-f:.]+/[0-9]{1,3})")
_INSIDE = re.compile(r"\s|(?:ip|ipv6|no|description|shutdown|bandwidth|link)\b")
_STATIC = re.compile(r"iface +(\S+) +inet6? +static")


class Address(NamedTuple):
    """An interface and its address, or a default gateway behind it. ``line`` counts from 1."""

    interface: str
    text: str
    line: int
    gateway: bool = False


def of_frr(lines: Iterable[str]) -> Iterator[Address]:
    """The addresses of interfaces, in the order of the lines."""
    interface = ""
    for number, line in enumerate(lines, 1):
        begins, gives = _INTERFACE.fullmatch(line.strip()), _ADDRESS.fullmatch(line.strip())
        if begins:
            interface = begins.group(1)
        elif interface and gives:
            yield Address(interface, gives.group(1), number)
        elif line.strip() and not _INSIDE.match(line):
            interface = ""


def of_ifupdown(lines: Iterable[str]) -> Iterator[Address]:
    """The static addresses and gateways of interfaces; a netmask may stand in a line of its own."""
    interface, address = "", ("", 0)
    for number, line in enumerate([*lines, "iface"], 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] in ("iface", "auto", "mapping", "source", "allow-hotplug"):
            if address[0]:
                yield Address(interface, *address)
            begins = _STATIC.fullmatch(" ".join(words))
            interface, address = begins.group(1) if begins else "", ("", 0)
        elif interface and len(words) > 1 and words[0] == "address":
            address = (words[1], number)
        elif address[0] and len(words) > 1 and words[0] == "netmask" and "/" not in address[0]:
            address = (_prefixed(address[0], words[1]), address[1])
        elif interface and len(words) > 1 and words[0] == "gateway":
            yield Address(interface, words[1], number, gateway=True)


def _prefixed(address: str, netmask: str) -> str:
    """An address with the prefix length that a netmask says: ``255.255.255.0``, or a number."""
    if netmask.isdecimal():
        return f"{address}/{netmask[:3]}"
    try:
        return f"{address}/{ip_network(f'0.0.0.0/{netmask}').prefixlen}"
    except ValueError:
        return address


READERS: dict[str, Callable[[Iterable[str]], Iterator[Address]]] = {
    "/etc/frr/frr.conf": of_frr,
    "/etc/frr/zebra.conf": of_frr,
    "/etc/quagga/Quagga.conf": of_frr,
    "/etc/quagga/zebra.conf": of_frr,
    "/etc/network/interfaces": of_ifupdown,
}
"""Path in a host -> the function that reads its lines."""
