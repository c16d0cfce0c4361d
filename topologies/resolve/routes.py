"""Gateways and routes of hosts: names become addresses, and each route gets its interface. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import NamedTuple

from topologies.model.choices import ROUTER
from topologies.model.hosts import Route
from topologies.model.topology import Network
from topologies.resolve.interfaces import NO_INTERFACE, Of
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Path, Report, shown

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
EVERYWHERE: tuple[Prefix, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_VIA = "an address, or the name of a router in one of its networks"


class Known(NamedTuple):
    """What is resolved of the hosts. ``of``: see ``topologies.resolve.draft.Draft.interfaces``."""

    hosts: Mapping[str, HostSpec]
    of: Mapping[str, Of]
    member: Mapping[str, str | None]
    networks: Mapping[str, Network]
    ipv4: Mapping[str, IPv4Interface]
    ipv6: Mapping[str, IPv6Interface]

    def node(self, name: str) -> str:
        """The host whose interface an entry is."""
        return self.of.get(name, NO_INTERFACE).host or name

    def addresses(self, name: str) -> list[IPv4Interface | IPv6Interface]:
        """The addresses of an interface."""
        both = (self.ipv4.get(name), self.ipv6.get(name))
        return [address for address in both if address is not None]


def routes(known: Known, report: Report) -> dict[str, tuple[Route, ...]]:
    """Interface -> the routes of its host that lead through it. Problems are reported."""
    interfaces: dict[str, list[str]] = {}
    for name in known.hosts:
        interfaces.setdefault(known.node(name), []).append(name)
    chosen: dict[str, dict[Prefix, Route]] = {}
    for host, spec in known.hosts.items():
        if known.node(host) != host:
            continue
        mine = interfaces[host]
        stated: dict[Prefix, Path] = {}
        for path, to, via in _stated(host, spec, known, report):
            hops = list(_hops(path, via, to, host, mine, known, report))
            for interface, address in hops:
                for prefix in to:
                    if prefix.version != address.version:
                        continue
                    if prefix in stated:
                        what = (
                            f"{host} has a route to {prefix} already (line {report.locate(stated[prefix])})"
                        )
                        report.add(path, what, remedy="remove one")
                        continue
                    stated[prefix] = path
                    chosen.setdefault(interface, {})[prefix] = Route(to=prefix, via=address)
    return {
        name: tuple(some[prefix] for prefix in sorted(some, key=lambda p: (p.version, p)))
        for name, some in chosen.items()
    }


def _stated(
    host: str, spec: HostSpec, known: Known, report: Report
) -> Iterator[tuple[Path, tuple[Prefix, ...], str]]:
    """The routes of the file: where each stands, where it leads, and by whom."""
    for index, via in enumerate(spec.gateway or ()):
        if via is not None:
            yield ("hosts", host, "gateway", index), EVERYWHERE, via
    for to, via in (spec.routes or {}).items():
        path: Path = ("hosts", host, "routes", to)
        if via is None:
            if not report.is_broken(path):
                report.add(path, "the route has no next hop", _VIA, "write one")
            continue
        if to in known.networks:
            yield path, known.networks[to].subnets, via
        elif to == "default":
            yield path, EVERYWHERE, via
        else:
            try:
                yield path, (units.subnet6(to) if ":" in to else units.subnet4(to),), via
            except units.BadValue as error:
                names = ", ".join(list(known.networks)[:8])
                allowed = f"a prefix like 10.9.0.0/16, default, or a network ({names})"
                report.add(path, error.what if "/" in to else f"{shown(to)} is no network", allowed)


def _hops(
    path: Path,
    via: str,
    to: Iterable[Prefix],
    host: str,
    interfaces: list[str],
    known: Known,
    report: Report,
) -> Iterator[tuple[str, Address]]:
    """The interface of the host that leads to the next hop, and its address, for each address family."""
    if via in known.hosts:
        yield from _by_name(path, via, to, host, interfaces, known, report)
        return
    try:
        address: Address = (units.ipv6(via) if ":" in via else units.ipv4(via)).interface.ip
    except units.BadValue:
        report.add(path, f"{shown(via)} is no host and no address", _VIA, "write the name of a router")
        return
    if all(prefix.version != address.version for prefix in to):
        report.add(path, f"{via} is of another address family than the route", _VIA)
        return
    for name in interfaces:
        for own in known.addresses(name):
            if address == own.ip:
                report.add(path, f"{via} is {host}'s own address", _VIA)
                return
            if own.version == address.version and address in own.network:
                yield name, address
                return
    subnets = ", ".join(str(own.network) for name in interfaces for own in known.addresses(name))
    report.add(path, f"{via} is in no subnet of {host}", subnets, "take the address of a neighbour")


def _by_name(
    path: Path,
    via: str,
    to: Iterable[Prefix],
    host: str,
    interfaces: list[str],
    known: Known,
    report: Report,
) -> Iterator[tuple[str, Address]]:
    router = known.node(via)
    if known.hosts[router].kind != ROUTER:
        what = f"{via} is no router: it does not forward"
        report.add(path, what, "a host of kind: router, or an address", f"write kind: router at {router}")
        return
    if router == host:
        report.add(path, f"{via} is {host} itself", _VIA)
        return
    theirs = [via] if via != router else [name for name in known.hosts if known.node(name) == router]
    near = [(mine, other) for mine in interfaces for other in theirs if known.member[mine] is not None]
    near = [(mine, other) for mine, other in near if known.member[mine] == known.member[other]]
    if not near:
        mine = ", ".join(dict.fromkeys(known.member[name] or "" for name in interfaces))
        what = f"{via} has no interface in a network of {host}"
        report.add(path, what, f"a router in {mine}", f"give {router} an interface there")
        return
    interface, other = near[0]
    for address in known.addresses(other):
        if any(prefix.version == address.version for prefix in to):
            yield interface, address.ip
