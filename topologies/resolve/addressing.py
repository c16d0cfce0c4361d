"""IP addresses of hosts: checks those of the file against their subnets, and chooses the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.model.topology import Network
from topologies.resolve import allocate
from topologies.resolve.service_addresses import Lab
from topologies.syntax.problem import Report
from topologies.syntax.units import Static4, Static6

Reserved = Mapping[tuple[str, int], Set[int]]
"""(network, family) -> addresses that are not chosen for hosts."""


def addresses4(
    lab: Lab, reserved: Reserved, kept: Mapping[str, int], report: Report
) -> dict[str, IPv4Interface]:
    """An IPv4 address with its subnet's prefix length for each host whose network has an IPv4 subnet.

    ``kept``: the addresses that hosts have in the running lab.
    """
    stated = {name: host.ipv4 for name, host in lab.hosts.items()}
    return {name: IPv4Interface(address) for name, address in _chosen(4, stated, lab, reserved, kept, report)}


def addresses6(
    lab: Lab, reserved: Reserved, kept: Mapping[str, int], report: Report
) -> dict[str, IPv6Interface]:
    """The same for IPv6."""
    stated = {name: host.ipv6 for name, host in lab.hosts.items()}
    return {name: IPv6Interface(address) for name, address in _chosen(6, stated, lab, reserved, kept, report)}


def _chosen(
    family: int,
    stated: Mapping[str, Static4 | Static6 | None],
    lab: Lab,
    reserved: Reserved,
    kept: Mapping[str, int],
    report: Report,
) -> Iterator[tuple[str, tuple[int, int]]]:
    """(host, (address as a number, prefix length)) of one family. ``stated``: the file's address of each."""
    for network in lab.networks.values():
        inside = {name: static for name, static in stated.items() if lab.member[name] == network.name}
        subnet, gateway = network.subnet(family), network.gateway(family)
        used = reserved.get((network.name, family), frozenset())
        offsets = _offsets(inside, network, subnet, family, report, gateway, used, kept)
        if subnet is not None:
            base = int(subnet.network_address)
            yield from ((name, (base + offset, subnet.prefixlen)) for name, offset in offsets.items())


def _offsets(
    hosts: Mapping[str, Static4 | Static6 | None],
    network: Network,
    subnet: IPv4Network | IPv6Network | None,
    family: int,
    report: Report,
    gateway: IPv4Interface | IPv6Interface | None,
    others: Set[int],
    kept: Mapping[str, int],
) -> dict[str, int]:
    """Host -> offset of its address from the first address of the subnet, for the hosts of one network."""
    if subnet is None:
        for name, static in hosts.items():
            if static is not None:
                what = f"network {network.name} has no IPv{family} subnet"
                remedy = f"remove the address, or give {network.name} a subnet{family}"
                report.add(("hosts", name, f"ipv{family}"), what, remedy=remedy)
        return {}
    first, count = allocate.capacity(subnet)
    offsets: dict[str, int] = {}
    owners: dict[int, str] = {}
    reserved = None if gateway is None else int(gateway.ip) - int(subnet.network_address)
    for name, static in hosts.items():
        if static is None:
            continue
        offset = _static(name, static, network, subnet, family, report)
        if offset is None:
            continue
        if offset == reserved:
            what = f"address {static.interface.ip} is the gateway of network {network.name}"
            remedy = f"change it, or the network's gateway{family}"
            report.add(("hosts", name, f"ipv{family}"), what, remedy=remedy)
        elif offset in owners:
            line = report.locate(("hosts", owners[offset], f"ipv{family}"))
            what = f"address {static.interface.ip} is that of host {owners[offset]} already (line {line})"
            report.add(("hosts", name, f"ipv{family}"), what, remedy="change or remove one")
        else:
            offsets[name] = offset
            owners[offset] = name
    order = list(hosts)
    shift = int(subnet.network_address) + first - 1  # the first address is number 1
    stated = {name: offsets.get(name, -1) - first + 1 for name in order if hosts[name] is not None}
    used = [address - shift for address in others]
    used += [] if reserved is None else [reserved - first + 1]
    settled = allocate.settle(
        order, stated, {name: kept[name] - shift for name in order if name in kept}, used, count
    )
    for name, number in settled.items():
        if number is None:
            _exhausted(network, subnet, family, len(order), count, report)
            break
        offsets[name] = first + number - 1
    return offsets


def _static(
    name: str,
    static: Static4 | Static6,
    network: Network,
    subnet: IPv4Network | IPv6Network,
    family: int,
    report: Report,
) -> int | None:
    """The offset of an address that the file gives; None, with a problem, when the host cannot have it."""
    path = ("hosts", name, f"ipv{family}")
    first, count = allocate.capacity(subnet)
    offset = int(static.interface.ip) - int(subnet.network_address)
    low, high = subnet[first], subnet[first + count - 1]
    allowed = f"{low} to {high}" if count > 1 else str(low)
    prefix = static.interface.network.prefixlen
    if not 0 <= offset < subnet.num_addresses:
        what = f"address {static.interface.ip} is outside network {network.name}'s subnet {subnet}"
        report.add(path, what, allowed, "change the address, the network or the subnet")
    elif offset < first:
        kind = "network address" if family == 4 else "subnet-router anycast address"
        report.add(path, f"{static.interface.ip} is the {kind} of {subnet}", allowed)
    elif offset >= first + count:
        report.add(path, f"{static.interface.ip} is the broadcast address of {subnet}", allowed)
    elif static.prefixed and prefix != subnet.prefixlen:
        what = f"prefix length /{prefix} is not that of network {network.name}, {subnet}"
        report.add(path, what, f"/{subnet.prefixlen}", f"write {static.interface.ip} alone")
    else:
        return offset
    return None


def _exhausted(
    network: Network, subnet: IPv4Network | IPv6Network, family: int, hosts: int, count: int, report: Report
) -> None:
    """Report once that a network has too many hosts, and the longest prefix that has room for them."""
    prefix = subnet.prefixlen
    while prefix > 0 and allocate.capacity(subnet.supernet(new_prefix=prefix))[1] < hosts:
        prefix -= 1
    report.add(
        ("networks", network.name, f"subnet{family}"),
        f"subnet {subnet} has room for {count} hosts, and network {network.name} has {hosts}",
        remedy=f"use {subnet.supernet(new_prefix=prefix)} or larger",
    )
