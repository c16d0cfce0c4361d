"""Configurations of FRR (https://docs.frrouting.org): which daemons they need. Pure."""

from __future__ import annotations

import re

from topologies.model.hosts import Host, RouterHost

PROTOCOLS = {
    "ospf": "ospfd",
    "ospf6": "ospf6d",
    "bgp": "bgpd",
    "rip": "ripd",
    "ripng": "ripngd",
    "isis": "isisd",
    "eigrp": "eigrpd",
    "babel": "babeld",
    "openfabric": "fabricd",
}
"""What follows ``router`` in a configuration -> the daemon that does it."""
_SECTIONS = {"bfd": "bfdd", "pbr-map": "pbrd"}
"""What other sections begin with -> the daemon that knows them."""
_OTHERS = (
    (re.compile(r"^\s+ip ospf\b", re.MULTILINE), "ospfd"),
    (re.compile(r"^\s+ipv6 ospf6\b", re.MULTILINE), "ospf6d"),
    (re.compile(r"^\s+ip(v6)? router isis\b", re.MULTILINE), "isisd"),
    (re.compile(r"^\s*(ip|ipv6) (pim|igmp)\b", re.MULTILINE), "pimd"),
    (re.compile(r"^\s*neighbor .* bfd\b|^\s*ip(v6)? (ospf|ospf6|router isis) bfd\b", re.MULTILINE), "bfdd"),
    (re.compile(r"^\s*vrrp \d", re.MULTILINE), "vrrpd"),
)
_ROUTER = re.compile(r"router\s+(\S+)")
ALWAYS = ("zebra", "staticd")
"""zebra brings routes into the kernel, staticd has the static ones."""


def configuration(host: Host) -> str | None:
    """FRR's configuration of a host; None: FRR does not run in it."""
    return host.frr if isinstance(host, RouterHost) else None


def daemons(text: str) -> tuple[str, ...]:
    """The daemons that a configuration needs, in the order of their start."""
    needed = list(ALWAYS)
    for line in text.splitlines():
        if (match := _ROUTER.match(line)) is not None:
            needed += [PROTOCOLS[match[1]]] if match[1] in PROTOCOLS else []
        elif words := line.split():
            needed += [_SECTIONS[words[0]]] if words[0] in _SECTIONS and line[0] != " " else []
    needed += [daemon for pattern, daemon in _OTHERS if pattern.search(text)]
    return tuple(dict.fromkeys(needed))


def unknown_protocols(text: str) -> list[tuple[int, str]]:
    """The numbers of the lines that begin a protocol which FRR does not have, and the protocols' names."""
    return [
        (number, match[1])
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _ROUTER.match(line)) is not None and match[1] not in PROTOCOLS and match[1] != "pim"
    ]
