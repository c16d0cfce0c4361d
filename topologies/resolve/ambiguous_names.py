"""Checks that a name has one meaning: in the file, on the command line, and in /etc/hosts. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from topologies.resolve.kinds.registry import RESOLUTIONS
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File

_IPV6 = ("localhost", "loopback", "localnet", "mcastprefix", "allnodes", "allrouters", "allhosts")
RESERVED = frozenset(("localhost", "localdomain", "broadcasthost", *(f"ip6-{name}" for name in _IPV6)))
"""Names that /etc/hosts has, or may have, on every machine (RFC 6761, 6.3)."""


def check(spec: File, report: Report) -> None:
    """Report ambiguous names: of hosts, and of functions with a name in /etc/hosts, that programs read as
    something else; and names that two of a host, a switch and a domain have."""
    seen: dict[str, str] = {}
    for path, name in _in_etc_hosts(spec):
        low = name.lower()
        if low in RESERVED or low.endswith((".localhost", ".localdomain")):
            report.add(path, f"{shown(name)} always means the machine itself (RFC 6761)", remedy="rename it")
        elif looks_like_an_address(name):
            what = f"{shown(name)} looks like an IPv4 address: programs do not look it up as a name"
            report.add(path, what, remedy=f"rename it, such as {'h' + name}")
        elif seen.setdefault(low, name) != name:
            what = (
                f"{shown(name)} differs from {shown(seen[low])} only in upper and lower case, which host "
                "names ignore (RFC 4343)"
            )
            report.add(path, what, remedy="rename one")
    switches, domains = spec.switches or {}, spec.domains or ()
    for name in spec.hosts or {}:
        if name in switches:
            line = report.locate(("switches", name))
            what = f"{shown(name)} is also the name of a switch (line {line})"
            report.add(("hosts", name), what, remedy="rename one")
    for section, some in (("hosts", spec.hosts or {}), ("switches", switches)):
        for name in some:
            if name in domains:
                what = f"{shown(name)} is also the name of a domain (line {report.locate(('domains',))})"
                report.add((section, name), what, remedy="rename one")


def looks_like_an_address(name: str) -> bool:
    """Whether the C library reads ``name`` as an IPv4 address: also ``1``, ``10.1`` and ``0x7f.1``; see
    inet_aton(3)."""
    try:
        socket.inet_aton(name)
    except (OSError, ValueError):  # ValueError: a NUL or half a surrogate pair
        return False
    return True


def _in_etc_hosts(spec: File) -> Iterator[tuple[Path, str]]:
    """The names that stand in /etc/hosts, with their paths."""
    for name in spec.hosts or {}:
        yield ("hosts", name), name
    for name, function in (spec.functions or {}).items():
        if function.kind is not None and RESOLUTIONS[function.kind].own_port:
            yield ("functions", name), name
