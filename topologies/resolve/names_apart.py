"""Names that mean one thing: in the file, on the command line, and in every host's /etc/hosts. Pure."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from topologies.resolve.kinds.registry import RESOLUTIONS
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File

_IPV6 = ("localhost", "loopback", "localnet", "mcastprefix", "allnodes", "allrouters", "allhosts")
RESERVED = frozenset(("localhost", "localdomain", "broadcasthost", *(f"ip6-{name}" for name in _IPV6)))
"""What every machine's /etc/hosts has, or may have (RFC 6761, 6.3)."""


def check(spec: File, report: Report) -> None:
    """Report hosts (and what else has a name in /etc/hosts) whose name a program would take for something
    else, and hosts and switches that have a domain's name, or each other's."""
    seen: dict[str, str] = {}
    for path, name in _resolved(spec):
        low = name.lower()
        if low in RESERVED or low.endswith((".localhost", ".localdomain")):
            report.add(path, f"{shown(name)} means the host itself everywhere (RFC 6761)", remedy="rename it")
        elif looks_like_an_address(name):
            what = f"{shown(name)} looks like an IPv4 address: programs would not ask whose name it is"
            report.add(path, what, remedy=f"rename it, such as {'h' + name}")
        elif seen.setdefault(low, name) != name:
            what = (
                f"{shown(name)} differs from {shown(seen[low])} in case alone, which names don't (RFC 4343)"
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
    """Whether the C library takes ``name`` for an IPv4 address: also ``1``, ``10.1`` and ``0x7f.1``, as
    inet_aton(3) says."""
    try:
        socket.inet_aton(name)
    except (OSError, ValueError):  # of a name with a NUL or half a surrogate pair
        return False
    return True


def _resolved(spec: File) -> Iterator[tuple[Path, str]]:
    for name in spec.hosts or {}:
        yield ("hosts", name), name
    for name, function in (spec.functions or {}).items():
        if function.kind is not None and RESOLUTIONS[function.kind].own_port:
            yield ("functions", name), name
