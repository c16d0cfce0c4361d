"""The addresses in the configuration of a router of FRRouting, or of Quagga before it. Pure.

``interface eth1`` begins a block, and ``ip address 10.0.0.1/24`` in it gives the interface an address
(https://docs.frrouting.org/en/latest/zebra.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FILES = ("/etc/frr/frr.conf", "/etc/frr/zebra.conf", "/etc/quagga/zebra.conf", "/etc/quagga/Quagga.conf")
_INTERFACE = re.compile(r"int(?:erface)? +(\S+)")
_ADDRESS = re.compile(r"ip(?:v6)? +addr(?:ess)? +([0-9A-Fa-f:.]+/[0-9]{1,3})")
_INSIDE = re.compile(r"\s|(?:ip|ipv6|no|description|shutdown|bandwidth|link)\b")


class Address(NamedTuple):
    """An interface and its address. ``line`` counts from 1."""

    interface: str
    text: str
    line: int


def addresses(lines: Iterable[str]) -> Iterator[Address]:
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
