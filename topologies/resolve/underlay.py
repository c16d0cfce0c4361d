"""The underlay: that of the file, or one that is added when networks need it. Pure.

Addresses of VTEPs start at the beginning of its subnet, those of links (/31, RFC 3021) in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal, cast

from topologies.model import names
from topologies.model.overlay import (
    MOST_NETWORKS,
    MOST_TRANSPORTS,
    OVERHEAD,
    TUNNEL_PORT,
    connected_components,
)
from topologies.model.topology import Domain, Shaping, Switch, Underlay, UnderlayEnd, UnderlayLink, Vtep
from topologies.resolve import allocate
from topologies.resolve.shaping import check_shaping
from topologies.resolve.shaping import shaping as shaping_of
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import MANAGEMENT, File, UnderlayLinkSpec, UnderlaySpec
from topologies.syntax.units import End

SUBNET = IPv4Network("198.19.0.0/16")  # RFC 2544's range for device tests; its other half is management
MTU = 1600
ROUTER = "r1"
HOST_MTU = 1500
LEAST_HOST_MTU = 1280


def needed(
    switches: Sequence[Switch],
    links: Sequence[tuple[End, End]],
    hosts: Sequence[tuple[str | None, str]],
) -> bool:
    """Whether a network has hosts in several domains, on switches that no links join.

    ``hosts``: (network, switch) of each.
    """
    island = connected_components(
        [switch.name for switch in switches], [(a.switch, b.switch) for a, b in links]
    )
    domain = {switch.name: switch.domain for switch in switches}
    places: dict[str | None, set[tuple[int, str]]] = {}
    for network, switch in hosts:
        places.setdefault(network, set()).add((island[switch], domain[switch]))
    return any(
        len({i for i, _ in of_network}) > 1 and len({d for _, d in of_network}) > 1
        for of_network in places.values()
    )


def vtep_name(domain: str) -> str:
    """The name of a domain's tunnel switch."""
    return f"vtep-{domain}"[: names.MAX_LENGTH]


def tunnel_switches(
    domains: Sequence[Domain], taken: Sequence[Switch], kept: Mapping[str, int], report: Report
) -> tuple[Switch, ...]:
    """A tunnel switch for each domain. Their datapath ids are those ``kept`` of the running lab, by name,
    else the next after those of all ``taken`` switches."""
    known = {switch.name for switch in taken}
    ids = {switch.dpid for switch in taken}
    number = max(ids, default=0)
    tunnels: list[Switch] = []
    for domain in domains:
        name = vtep_name(domain.name)
        if name in known or any(switch.name == name for switch in tunnels):
            what = f"{shown(name)} is the name of domain {domain.name}'s tunnel switch"
            report.add(("switches", name), what, remedy="rename the switch")
        own = kept.get(name)
        if own is None or own in ids:
            number += 1
            while number in ids or number in kept.values() or number >= 1 << 64:
                number = number + 1 if number < 1 << 64 else 1
            own = number
        ids.add(own)
        tunnels.append(Switch(name=name, domain=domain.name, dpid=own, role="vtep"))
    return tuple(tunnels)


def subnet_of(spec: UnderlaySpec) -> IPv4Network:
    """The subnet of all its addresses."""
    return spec.subnet or SUBNET


def resolve(
    spec: UnderlaySpec,
    file: File,
    domains: Sequence[Domain],
    running: Underlay | None,
    report: Report,
    largest: int = HOST_MTU,
) -> Underlay:
    """The underlay; with problems, parts of it may be missing. ``running``: the underlay of the running lab,
    whose addresses stay. ``largest``: the MTU of hosts that must fit into tunnels, in bytes, unless the file
    has one for the underlay."""
    known = [domain.name for domain in domains]
    routers = _routers(spec, known, file, report)
    subnet = subnet_of(spec)
    if subnet.overlaps(MANAGEMENT):
        what = f"subnet {subnet} overlaps the management network, {MANAGEMENT}"
        report.add(("underlay", "subnet"), what, remedy="use another, such as 198.19.0.0/16")
    wires = _wires(spec, known, routers, report)
    half = subnet.num_addresses // 2
    if 2 * len(wires) > half or len(domains) >= half:
        what = f"subnet {subnet} is too small for {len(domains)} domains and {len(wires)} links"
        report.add(("underlay", "subnet"), what, remedy="use a larger one, such as 198.19.0.0/16")
        half, wires = 0, []
    named: dict[str, tuple[str, str, Shaping]] = {}
    counts: dict[str, int] = {}
    for a, b, shaping in wires:
        name = f"{a}-{b}"
        counts[name] = counts.get(name, 0) + 1
        named[name + (f"#{counts[name]}" if counts[name] > 1 else "")] = a, b, shaping
    base = int(subnet.network_address)
    kept_slots, kept_vteps = _kept_places(running, base, half)
    slots = _places(list(named), kept_slots, half // 2)
    links = []
    for name, (a, b, shaping) in named.items():
        first = base + half + 2 * (slots[name] - 1)
        near, far = (
            UnderlayEnd(node=node, address=IPv4Interface((first + side, 31)))
            for side, node in enumerate((a, b))
        )
        links.append(UnderlayLink(name=name, a=near, b=far, shaping=shaping))
    vteps = _places([domain.name for domain in domains], kept_vteps, max(half - 1, len(domains)))
    tunnels = spec.tunnels or "auto"
    if tunnels == "auto" and running is not None:
        tunnels = running.tunnels  # decided when the lab started
    return Underlay(
        subnet=subnet,
        mtu=spec.mtu or max(MTU, largest + MTU - HOST_MTU),
        tunnels=cast(Literal["auto", "kernel", "ovs"], tunnels),
        routers=tuple(routers),
        links=tuple(sorted(links, key=lambda link: names.natural(link.name))),
        vteps=tuple(
            Vtep(
                domain=domain.name,
                switch=vtep_name(domain.name),
                address=IPv4Address((base + vteps[domain.name]) % (1 << 32)),
            )
            for domain in domains
        ),
    )


def _places(order: list[str], kept: Mapping[str, int], top: int) -> dict[str, int]:
    return {name: number or 1 for name, number in allocate.settle(order, {}, kept, (), top).items()}


def _kept_places(running: Underlay | None, base: int, half: int) -> tuple[dict[str, int], dict[str, int]]:
    """In the running lab: link -> number of its pair of addresses, domain -> number of its VTEP's address."""
    if running is None:
        return {}, {}
    slots = {link.name: (int(link.a.address.ip) - base - half) // 2 + 1 for link in running.links}
    return slots, {vtep.domain: int(vtep.address) - base for vtep in running.vteps}


def host_mtu(underlay: Underlay, more: int = 0) -> int:
    """The MTU of hosts, in bytes, so that a packet with ``more`` bytes for a chain's headers fits into a
    tunnel."""
    return min(HOST_MTU, underlay.mtu - OVERHEAD - more)


def check_mtu(file: File, underlay: Underlay, mtu: int, report: Report) -> None:
    """Report an MTU of hosts that is less than IPv6 needs (RFC 8200, 5), because of a chain's headers."""
    if mtu < LEAST_HOST_MTU:
        what = f"with MTU {underlay.mtu}, the headers of tunnels and chains leave hosts only {mtu} bytes"
        allowed = f"from {underlay.mtu - mtu + LEAST_HOST_MTU} (IPv6 needs {LEAST_HOST_MTU})"
        report.add(("underlay", "mtu"), what, allowed, f"write mtu: {MTU}")


def _routers(spec: UnderlaySpec, domains: Sequence[str], file: File, report: Report) -> list[str]:
    if spec.routers is None:
        return [_free_router([*domains, *(file.functions or {})])]
    routers: list[str] = []
    for index, name in enumerate(spec.routers):
        path: Path = ("underlay", "routers", index)
        if name is None:
            continue  # reported where it was read
        if not names.is_name(name):
            report.add(path, f"{shown(name)} cannot be a name", names.ALLOWED)
        elif name in domains:
            report.add(path, f"{shown(name)} is also the name of a domain", remedy="rename one")
        elif name in (file.switches or {}) or name in (file.hosts or {}) or name in (file.functions or {}):
            kind = "switch" if name in (file.switches or {}) else "host"
            kind = kind if name not in (file.functions or {}) else "function"
            report.add(path, f"{shown(name)} is also the name of a {kind}", remedy="rename one")
        elif name in routers:
            report.add(path, f"{shown(name)} is given twice", remedy="rename or remove one")
        else:
            routers.append(name)
    return sorted(routers, key=names.natural)


def _free_router(taken: Sequence[str]) -> str:
    number = 1
    while f"r{number}" in taken:
        number += 1
    return f"r{number}"


def _wires(
    spec: UnderlaySpec, domains: Sequence[str], routers: Sequence[str], report: Report
) -> list[tuple[str, str, Shaping]]:
    """(end, end, shaping) of each link in natural order. A domain that the first one does not reach is
    reported."""
    if spec.links is None:
        return [(domain, routers[0], Shaping()) for domain in domains] if routers else []
    nodes = [*domains, *routers]
    wires: list[tuple[str, str, Shaping]] = []
    good = True
    for index, link in enumerate(spec.links):
        ends = _ends(index, link, nodes, report)
        good = good and ends is not None
        if ends is not None:
            check_shaping(("underlay", "links", index), link, ends, report)
            wires.append((*ends, shaping_of(link, *ends)))
    if good and not report.is_broken(("underlay", "links")):
        _check_connected(wires, domains, report)
    return sorted(wires, key=lambda wire: (names.natural(wire[0]), names.natural(wire[1])))


def _ends(index: int, link: UnderlayLinkSpec, nodes: Sequence[str], report: Report) -> tuple[str, str] | None:
    path: Path = ("underlay", "links", index, "ends")
    if link.ends is None or len(link.ends) != 2:
        given = "none" if not link.ends else str(len(link.ends))
        report.add(
            path, f"a link has two ends, this one has {given}", "d1 -- r1, [d1, r1] or {ends: [d1, r1]}"
        )
        return None
    a, b = link.ends
    if a is None or b is None:
        return None  # reported where it was read
    good = True
    for side, end in enumerate((a, b)):
        if end not in nodes:
            what = f"there is no domain or underlay router {shown(end)}"
            remedy = report.suggest(end, nodes, "add it to domains, or to the underlay's routers")
            report.add((*path, side), what, ", ".join(nodes[:8]), remedy)
            good = False
    if good and a == b:
        report.add(path, f"the link ends at {shown(a)} twice", "two different ends", "remove the link")
        good = False
    if not good:
        return None
    # a domain before a router, so that names look like d1-r1
    return (a, b) if nodes.index(a) < nodes.index(b) else (b, a)


def _check_connected(
    wires: Sequence[tuple[str, str, Shaping]], domains: Sequence[str], report: Report
) -> None:
    """Report the domains that the first one does not reach."""
    near: dict[str, set[str]] = {}
    for a, b, _ in wires:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    reached, frontier = {domains[0]}, [domains[0]]
    while frontier:
        for other in near.get(frontier.pop(), set()) - reached:
            reached.add(other)
            frontier.append(other)
    lost = [domain for domain in domains if domain not in reached]
    if lost:
        what = f"no way through the underlay leads from {domains[0]} to {', '.join(lost[:8])}"
        report.add(("underlay", "links"), what, remedy=f"add a link, such as {lost[0]} -- ROUTER")


def check_ports(
    file: File, switches: Sequence[Switch], networks: Mapping[str, object], report: Report
) -> None:
    """Report when the ports for uplinks and tunnels are used, or too few."""
    for name, host in (file.hosts or {}).items():
        if host.switch is not None and (host.switch.port or 0) >= TUNNEL_PORT:
            _reserved(("hosts", name, "switch"), report)
    for index, link in enumerate(file.links or []):
        for side, end in enumerate(link.ends or []):
            if end is not None and (end.port or 0) >= TUNNEL_PORT:
                _reserved(("links", index, "ends", side), report)
    sizes: dict[str, int] = {}
    for switch in switches:
        sizes[switch.domain] = sizes.get(switch.domain, 0) + 1
    # each switch has an uplink for each network, and one for each domain that chains lead to
    if file.functions and len(sizes) > MOST_TRANSPORTS:
        what, allowed = "there are too many domains for functions", f"{MOST_TRANSPORTS} domains"
        report.add(("domains",), what, allowed, "use fewer domains")
    more = len(sizes) if file.functions else 0
    for domain, size in sizes.items():
        if file.functions and size * (len(networks) + more) >= TUNNEL_PORT:
            what = f"domain {domain} has too few ports for {size} switches, networks and chains"
            allowed = f"switches times networks and domains below {TUNNEL_PORT}"
            report.add(("networks",), what, allowed, "use more domains, or fewer networks")
            return
        if size * len(networks) >= TUNNEL_PORT or len(networks) > MOST_NETWORKS:
            what = f"domain {domain} has too few ports for {size} switches and {len(networks)} networks"
            allowed = f"switches times networks below {TUNNEL_PORT}, {MOST_NETWORKS} networks"
            report.add(("networks",), what, allowed, "use more domains, or fewer networks")
            return


def _reserved(path: Path, report: Report) -> None:
    report.add(path, f"ports from {TUNNEL_PORT} on are for the overlay", f"1 to {TUNNEL_PORT - 1}")
