"""Subnets of networks, and the network of each host. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import cast

from topologies.model import names
from topologies.model.topology import Network
from topologies.resolve import allocate
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Report
from topologies.syntax.specification import NetworkSpec


def with_subnets(
    specs: Mapping[str, NetworkSpec], kept: Mapping[str, Network], of_wires: Collection[str] = ()
) -> dict[str, Network]:
    """All networks. One without a subnet in the file gets those of the running lab (``kept``), else free
    ones: those ``of_wires`` between hosts small ones."""
    stated: list[IPv4Network | IPv6Network] = [
        subnet for spec in specs.values() for subnet in (spec.subnet4, spec.subnet6) if subnet is not None
    ]
    settled: dict[str, Network] = {}
    for name, spec in specs.items():
        old = kept.get(name)
        both = old.subnets if old is not None else ()
        if (
            spec.subnet4 is None
            and spec.subnet6 is None
            and len(both) == 2
            and not _overlapping(both, stated)
        ):
            settled[name] = Network(name=name, subnet4=old and old.subnet4, subnet6=old and old.subnet6)
    stated += [subnet for network in settled.values() for subnet in network.subnets]
    index, wire = 0, 0
    full: set[int] = set()  # IP versions of which no subnet is free any more
    for name in sorted(specs, key=names.natural):
        if name in settled:
            continue
        spec = specs[name]
        subnet4, subnet6 = spec.subnet4, spec.subnet6
        if subnet4 is None and subnet6 is None and name in of_wires:
            subnet4, subnet6, wire = _of_wire(wire, stated)
            stated += [subnet4, subnet6]
        elif subnet4 is None and subnet6 is None:
            chosen: list[IPv4Network | IPv6Network] = []
            for version, make in _NETWORKS.items():
                free = allocate.free_subnet(index, stated, make) if version not in full else None
                if free is None:
                    # more than 256 networks: use addresses again, which separate networks may have in common
                    full.add(version)
                chosen.append(free or make(index % 256))
            stated += chosen
            subnet4, subnet6 = cast("tuple[IPv4Network, IPv6Network]", tuple(chosen))
            index += 1
        settled[name] = Network(name=name, subnet4=subnet4, subnet6=subnet6)
    return settled


_NETWORKS: Mapping[int, Callable[[int], IPv4Network | IPv6Network]] = {
    4: lambda n: IPv4Network((0x0A000000 + (n << 16), 16)),
    6: lambda n: IPv6Network(((0xFD00 << 112) + (n << 64), 64)),
}
"""IP version -> the subnet with a number, of networks that the file gives none."""
_WIRES4, _WIRES6 = IPv4Network("10.255.0.0/16"), IPv6Network("fd00:0:ff::/48")


def _of_wire(index: int, taken: Sequence[IPv4Network | IPv6Network]) -> tuple[IPv4Network, IPv6Network, int]:
    """A /30 and a /64 for a wire between hosts: those with the first number from ``index`` on that overlap no
    others; and the next number."""
    for number in range(index, 1 << 14):
        both = (
            IPv4Network((int(_WIRES4.network_address) + 4 * number, 30)),
            IPv6Network((int(_WIRES6.network_address) + (number << 64), 64)),
        )
        if not _overlapping(both, taken):
            return *both, number + 1
    return *both, index


def _overlapping(
    some: Iterable[IPv4Network | IPv6Network], others: Sequence[IPv4Network | IPv6Network]
) -> bool:
    return any(one.version == other.version and one.overlaps(other) for one in some for other in others)


def network_of(
    name: str, spec: HostSpec, networks: Mapping[str, Network], of_wires: Collection[str], report: Report
) -> str | None:
    """The network of a host: the one that it names, else the only one beside those ``of_wires`` between
    hosts. None, with a problem, when there is no such network."""
    path = ("hosts", name, "network")
    known = sorted(networks.keys() - set(of_wires), key=names.natural)
    if spec.vlan is not None:
        return _of_vlan(name, spec.vlan, spec.network, networks, report)
    if spec.network is None:
        if len(known) > 1:
            listed = ", ".join(known[:8])
            report.add(
                path, "the host names no network, and there are several", listed, f"write network: {known[0]}"
            )
            return None
        return known[0]
    if spec.network not in networks:
        report.unknown(path, "network", spec.network, known, "networks")
        return None
    return spec.network


def _of_vlan(
    name: str, vlan: int, stated: str | None, networks: Mapping[str, Network], report: Report
) -> str | None:
    """The network with this VLAN id. ``stated``: the one that the host names, too."""
    path = ("hosts", name, "vlan")
    by_vlan = {network.vlan: network.name for network in networks.values() if network.vlan is not None}
    if vlan not in by_vlan:
        if "networks" not in report.incomplete and not report.is_broken(("networks",)):
            listed = ", ".join(f"{tag} ({network})" for tag, network in sorted(by_vlan.items())[:8])
            remedy = f"write networks: {{NAME: {{vlan: {vlan}}}}}, or network: and a name"
            report.add(path, f"no network has the VLAN id {vlan}", listed or "no network has one", remedy)
        return None
    if stated is not None and stated != by_vlan[vlan]:
        what = f"VLAN {vlan} is network {by_vlan[vlan]}, and the host names network {stated}"
        report.add(path, what, remedy="remove one of them")
        return None
    return by_vlan[vlan]
