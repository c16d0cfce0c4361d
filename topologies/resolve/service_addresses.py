"""Addresses of load balancers and NATs: checks those of the file, and chooses others from the end of the
subnet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
)

from topologies.model import names
from topologies.model.kinds import AddressTranslator, DhcpServer, LoadBalancer
from topologies.model.topology import Network, Topology
from topologies.resolve import allocate
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import FunctionSpec, takes
from wire.mac import mac_number, mac_text

AUTO_MAC = 0x02_00_01_00_00_00  # beyond what hosts get
_MACS = 0xFF_FF_FF
_NO_OUTSIDE = "the NAT names no outside network"
Family = int


def addressed(spec: FunctionSpec) -> bool:
    """Whether functions of this kind have addresses."""
    return takes(spec.kind, "mac")


@dataclass(frozen=True)
class Lab:
    """Hosts and networks of the draft. ``member``: host -> its network; None where that is unknown."""

    hosts: Mapping[str, HostSpec]
    member: Mapping[str, str | None]
    networks: Mapping[str, Network]
    running: Topology | None = None


@dataclass(frozen=True)
class Filled:
    """What is chosen for functions with addresses, and the content of files.

    ``homes``: function -> its network; ``further``: load balancer -> its further addresses.
    """

    homes: Mapping[str, str]
    addresses: Mapping[tuple[str, Family], IPv4Interface | IPv6Interface]
    macs: Mapping[str, str]
    files: Mapping[str, bytes]
    further: Mapping[str, tuple[IPv4Interface | IPv6Interface, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stations:
    """The addresses of hosts."""

    macs: Mapping[str, str]
    ipv4: Mapping[str, IPv4Interface]
    ipv6: Mapping[str, IPv6Interface]


def homes(specs: Mapping[str, FunctionSpec], lab: Lab, report: Report) -> dict[str, str]:
    """Load balancer or NAT -> the network of its address, where it is known."""
    homes = {}
    known = sorted(lab.networks, key=names.natural)
    for name, spec in specs.items():
        if takes(spec.kind, "backends"):
            near = [lab.member.get(backend.host or "") for backend in spec.backends or ()]
            some = [network for network in near if network is not None]
            if some:
                homes[name] = some[0]
        elif addressed(spec):
            path = ("functions", name, "network")
            if spec.network is not None and spec.network not in lab.networks:
                report.no_such(path, "network", spec.network, known)
            elif spec.network is None and len(known) > 1:
                what = "the DHCP server names no network" if spec.kind == "dhcp" else _NO_OUTSIDE
                what += ", and there are several"
                report.add(path, what, ", ".join(known[:8]), f"write network: {known[0]}")
            else:
                homes[name] = spec.network or known[0]
    return homes


def _static(spec: FunctionSpec, family: Family) -> int | None:
    if family == 4:
        return None if spec.ipv4 is None else int(spec.ipv4.interface.ip)
    return None if spec.ipv6 is None else int(spec.ipv6.interface.ip)


def families_of(spec: FunctionSpec, network: Network) -> list[Family]:
    """The address families of a function: those that the file gives, else all of its network."""
    if not takes(spec.kind, "ipv6"):
        return [4]
    if spec.kind == "dhcp":  # leases are of IPv4
        return [4, *([6] if network.subnet6 is not None or _static(spec, 6) is not None else [])]
    given = [family for family in (4, 6) if _static(spec, family) is not None]
    return given or [family for family in (4, 6) if network.subnet(family) is not None]


def _kept(name: str, network: str, family: Family, lab: Lab) -> int | None:
    """The address of the function in the running lab, if it is in the same network there."""
    for function in lab.running.functions if lab.running is not None else ():
        if not isinstance(function, (LoadBalancer, AddressTranslator, DhcpServer)):
            continue
        part = function.part
        if function.name == name and part.network == network:
            address = part.ipv4 if family == 4 else getattr(part, "ipv6", None)
            return None if address is None else int(address.ip)
    return None


def reserved(
    specs: Mapping[str, FunctionSpec], homes: Mapping[str, str], lab: Lab
) -> dict[tuple[str, Family], frozenset[int]]:
    """(network, family) -> the addresses of functions, which are not chosen for hosts."""
    reserved: dict[tuple[str, Family], set[int]] = {}
    for name, network in homes.items():
        for family in families_of(specs[name], lab.networks[network]):
            address = _static(specs[name], family) or _kept(name, network, family, lab)
            if address is not None:
                reserved.setdefault((network, family), set()).add(address)
        for further_address in _further(specs[name]):
            reserved.setdefault((network, further_address.version), set()).add(int(further_address))
    return {key: frozenset(addresses) for key, addresses in reserved.items()}


def _further(spec: FunctionSpec) -> list[IPv4Address | IPv6Address]:
    """The further addresses of a load balancer, without texts that are no addresses."""
    readable = []
    for text in spec.addresses or ():
        with suppress(ValueError):
            readable.append(ip_address(text or ""))
    return readable


def further(
    specs: Mapping[str, FunctionSpec],
    homes: Mapping[str, str],
    used: Mapping[tuple[str, Family], Mapping[int, str]],
    chosen: Mapping[tuple[str, Family], IPv4Interface | IPv6Interface],
    lab: Lab,
    report: Report,
) -> dict[str, tuple[IPv4Interface | IPv6Interface, ...]]:
    """Load balancer -> its further addresses. ``used``: the addresses of hosts; ``chosen``: the first
    addresses of functions."""
    taken: dict[tuple[str, Family, int], str] = {
        (*key, address): f"host {host}" for key, some in used.items() for address, host in some.items()
    }
    for (name, family), first in chosen.items():
        taken[homes[name], family, int(first.ip)] = f"function {name}"
    further: dict[str, tuple[IPv4Interface | IPv6Interface, ...]] = {}
    for name, spec in specs.items():
        own: list[IPv4Interface | IPv6Interface] = []
        for index, text in enumerate(spec.addresses or () if name in homes else ()):
            path = ("functions", name, "addresses", index)
            network = lab.networks[homes[name]]
            interface = _inside(text or "", network, path, report)
            if interface is None:
                continue
            gateway = network.gateway(interface.version)
            key = network.name, interface.version, int(interface.ip)
            owner = f"the gateway of {network.name}" if interface == gateway else taken.get(key)
            if owner is not None:
                what = f"address {interface.ip} is that of {owner} already"
                report.add(path, what, remedy="change or remove one")
                continue
            taken[key] = f"function {name}"
            own.append(interface)
        further[name] = tuple(own)
    return further


def _inside(text: str, network: Network, path: Path, report: Report) -> IPv4Interface | IPv6Interface | None:
    """The address with the prefix length of its subnet; None, with a problem, if no host can have it
    there."""
    try:
        address = ip_address(text)
    except ValueError:
        what = f"{shown(text)} is no address"
        report.add(path, what, "an address like 10.0.0.101 or fd00::101")
        return None
    subnet = network.subnet(address.version)
    if subnet is not None:
        first, count = allocate.capacity(subnet)
        both = (int(address), subnet.prefixlen)
        if first <= int(address) - int(subnet.network_address) < first + count:
            return IPv4Interface(both) if address.version == 4 else IPv6Interface(both)
    what = f"address {address} is no host's address in network {network.name}"
    allowed = f"no IPv{address.version} subnet" if subnet is None else str(subnet)
    report.add(path, what, allowed, "change or remove it")
    return None


def choose(
    specs: Mapping[str, FunctionSpec],
    homes: Mapping[str, str],
    used: Mapping[tuple[str, Family], Mapping[int, str]],
    lab: Lab,
    report: Report,
) -> dict[tuple[str, Family], IPv4Interface | IPv6Interface]:
    """(function, family) -> its first address. ``used``: (network, family) -> address of a host -> its name.

    The n-th function of a network, in the order of names, gets the n-th address from the end of the subnet.
    """
    chosen: dict[tuple[str, Family], IPv4Interface | IPv6Interface] = {}
    for network in lab.networks.values():
        inside = [name for name, home in homes.items() if home == network.name]
        for family in (4, 6):
            here = [name for name in inside if family in families_of(specs[name], network)]
            if here:
                taken = used.get((network.name, family), {})
                chosen |= _of_network(here, specs, network, family, taken, lab, report)
    return chosen


def _of_network(
    order: list[str],
    specs: Mapping[str, FunctionSpec],
    network: Network,
    family: Family,
    hosts: Mapping[int, str],
    lab: Lab,
    report: Report,
) -> dict[tuple[str, Family], IPv4Interface | IPv6Interface]:
    """``choose`` for the functions ``order`` of one network and one family."""
    subnet = network.subnet(family)
    if subnet is None:
        for name in order:
            what = f"network {network.name} has no IPv{family} subnet"
            key = f"ipv{family}" if _static(specs[name], family) is not None else "network"
            remedy = f"remove the address, or give {network.name} a subnet{family}"
            report.add(("functions", name, key), what, remedy=remedy)
        return {}
    first, count = allocate.capacity(subnet)
    base = int(subnet.network_address)
    gateway = network.gateway(family)
    owners: dict[int, str] = {}
    for name in order:
        static = _static(specs[name], family)
        if static is None:
            continue
        path = ("functions", name, f"ipv{family}")
        given = specs[name].ipv4 if family == 4 else specs[name].ipv6
        assert given is not None
        text, prefix = given.interface.ip, given.interface.network.prefixlen
        if not first <= static - base < first + count:
            what = f"address {text} is no host's address in network {network.name}, {subnet}"
            allowed = f"{subnet[first]} to {subnet[first + count - 1]}"
            report.add(path, what, allowed, "change the address, or the backends' network")
        elif given.prefixed and prefix != subnet.prefixlen:
            what = f"prefix length /{prefix} is not that of network {network.name}, {subnet}"
            report.add(path, what, f"/{subnet.prefixlen}", f"write {text} alone")
        elif gateway is not None and static == int(gateway.ip):
            what = f"address {text} is the gateway of network {network.name}"
            report.add(path, what, remedy=f"change it, or the network's gateway{family}")
        elif static in hosts:
            line = report.locate(("hosts", hosts[static]))
            what = f"address {text} is that of host {hosts[static]} already (line {line})"
            report.add(path, what, remedy="change or remove one")
        elif static in owners:
            line = report.locate(("functions", owners[static]))
            what = f"address {text} is that of function {owners[static]} already (line {line})"
            report.add(path, what, remedy="change or remove one")
        else:
            owners[static] = name
    end = base + first + count  # the address after the last one: numbers count back from it
    others = [
        int(address) for name in order for address in _further(specs[name]) if address.version == family
    ]
    others += [] if gateway is None else [int(gateway.ip)]
    taken = [end - address for address in (*hosts, *others)]
    stated = {name: 0 for name in order if _static(specs[name], family) is not None}
    stated |= {name: end - address for address, name in owners.items()}
    kept = {name: _kept(name, network.name, family, lab) for name in order}
    settled = allocate.settle(
        order, stated, {name: end - address for name, address in kept.items() if address}, taken, count
    )
    chosen: dict[tuple[str, Family], IPv4Interface | IPv6Interface] = {}
    for name in order:
        number = stated.get(name) or settled.get(name)
        if number:
            both = (end - number, subnet.prefixlen)
            chosen[name, family] = IPv4Interface(both) if family == 4 else IPv6Interface(both)
        elif name not in stated:
            what = f"network {network.name} has no IPv{family} address left for it"
            report.add(("functions", name), what, remedy=f"use a larger subnet{family}")
    return chosen


def macs(
    specs: Mapping[str, FunctionSpec], hosts: Mapping[str, str], lab: Lab, report: Report
) -> dict[str, str]:
    """Load balancer or NAT -> its MAC address. ``hosts``: MAC address -> host."""
    order = [name for name, spec in specs.items() if addressed(spec)]
    owners: dict[str, str] = {}
    for name in order:
        mac = specs[name].mac
        if mac is None:
            continue
        owner = f"host {hosts[mac]}" if mac in hosts else f"function {owners[mac]}" if mac in owners else ""
        if owner:
            report.add(
                ("functions", name, "mac"),
                f"MAC address {mac} is that of {owner} already",
                remedy="change or remove one",
            )
        owners.setdefault(mac, name)
    kept = {}
    for function in lab.running.functions if lab.running is not None else ():
        if isinstance(function, (LoadBalancer, AddressTranslator, DhcpServer)):
            kept[function.name] = mac_number(function.part.mac) - AUTO_MAC
    given = {name: mac_number(mac) - AUTO_MAC for name in order if (mac := specs[name].mac) is not None}
    taken = [mac_number(mac) - AUTO_MAC for mac in hosts]
    settled = allocate.settle(order, given, kept, taken, _MACS)
    return {name: specs[name].mac or mac_text(AUTO_MAC + (settled[name] or 0)) for name in order}


def used_by(
    addresses: Iterable[tuple[str, str | None, IPv4Interface | IPv6Interface]],
) -> dict[tuple[str, Family], dict[int, str]]:
    """(host, network, address) of each host -> (network, family) -> address -> host."""
    used: dict[tuple[str, Family], dict[int, str]] = {}
    for host, network, address in addresses:
        if network is not None:
            used.setdefault((network, address.version), {})[int(address.ip)] = host
    return used
