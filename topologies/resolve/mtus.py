"""The MTUs of a lab: packets of every host fit into links, tunnels, and what IPv6 needs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from topologies.model.needs_overlay import transit_overhead
from topologies.model.overlay import OVERHEAD, connected_components
from topologies.model.topology import Topology
from topologies.resolve.underlay import HOST_MTU, LEAST_HOST_MTU
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Report
from topologies.syntax.specification import LinkSpec


def largest(hosts: Mapping[str, HostSpec], wired: Collection[str] = (), usual: int = HOST_MTU) -> int:
    """The largest MTU of any host on a switch, in bytes, and at least that of hosts for which the file has
    none. ``wired``: those on wires between hosts."""
    stated = (host.mtu for name, host in hosts.items() if host.mtu is not None and name not in wired)
    return max([usual, *stated])


class Misfit(NamedTuple):
    """An MTU that does not fit. ``host`` or ``link``: which of them has it; the other one is empty."""

    host: str
    link: str
    what: str
    allowed: str
    remedy: str


def misfits(topology: Topology) -> Iterator[Misfit]:
    """The MTUs that don't fit together."""
    underlay = topology.underlay
    more = transit_overhead(topology) if underlay is not None else 0
    for host in topology.hosts:
        if host.mtu < LEAST_HOST_MTU and host.ipv6 is not None:
            what = f"host {host.name} has an IPv6 address, for which MTU {host.mtu} is too small"
            yield Misfit(host.name, "", what, f"from {LEAST_HOST_MTU}", "or a network without subnet6")
        if underlay is not None and host.port is not None and host.mtu > underlay.mtu - OVERHEAD - more:
            room = underlay.mtu - OVERHEAD - more
            why = f"the underlay's MTU {underlay.mtu} leaves {room}"
            what = f"packets of {host.mtu} bytes don't fit into tunnels: {why}"
            remedy = f"write underlay: {{mtu: {host.mtu + OVERHEAD + more}}}"
            yield Misfit(host.name, "", what, f"up to {room}", remedy)
    island = connected_components(
        [switch.name for switch in topology.switches],
        [(link.a.switch, link.b.switch) for link in topology.links],
    )
    most: dict[int, tuple[int, str]] = {}
    for host in topology.attached:
        here = island[host.at.switch]
        most[here] = max(most.get(here, (0, "")), (host.mtu, host.name))
    for link in topology.links:
        mtu, name = most.get(island[link.a.switch], (0, ""))
        if link.mtu < mtu:
            what = f"link {link.name} carries packets of {link.mtu} bytes, and host {name} sends {mtu}"
            remedy = f"write mtu: {mtu}, or {link.mtu} at the host"
            yield Misfit("", link.name, what, f"from {mtu}", remedy)


def check(
    topology: Topology,
    hosts: Mapping[str, HostSpec],
    links: Sequence[tuple[int, LinkSpec]],
    named: Mapping[str, int],
    report: Report,
) -> None:
    """Report the MTUs of the file that don't fit together. ``named``: link -> index in the file."""
    specs = dict(links)
    for misfit in misfits(topology):
        if misfit.link and specs[named[misfit.link]].mtu is not None:
            path = ("links", named[misfit.link], "mtu")
            report.add(path, misfit.what, misfit.allowed, misfit.remedy)
        elif misfit.host in hosts and hosts[misfit.host].mtu is not None:
            report.add(("hosts", misfit.host, "mtu"), misfit.what, misfit.allowed, misfit.remedy)
