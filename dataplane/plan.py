"""What to build for a topology, as plain values: names, wires, bridges, the OVSDB rows.

Everything here is a pure function; ``dataplane.net`` carries it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

from dataplane.underlay_plan import NONE, UnderlayPlan, underlay_plan, vxlan_device
from topologies.model import Host, Port, Shaping, Topology
from topologies.overlay import Overlay, overlay

DEVICE_NAME_LIMIT = 15
"""The kernel's IFNAMSIZ is 16 with the closing NUL."""
MANAGEMENT = IPv4Interface("198.18.0.1/16")
"""The management network, from the range for device tests (RFC 2544): no lab's subnet by accident."""

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


def device_name(wanted: str, short: str) -> str:
    """``wanted`` where a device may have that name (15 ASCII characters, no slash), else ``short``.

    The one rule for every device and bridge name.  ``short`` must be unique and safe itself.
    """
    return wanted if len(wanted) <= DEVICE_NAME_LIMIT and _SAFE.match(wanted) else short


@dataclass(frozen=True, slots=True)
class PortPlan:
    """A switch port: its device, its OpenFlow port number, and its patch peer (None: a system device).

    Open vSwitch must keep its hands off the queueing disciplines of a ``shaped`` one. ``tunnel``: Open
    vSwitch's own VXLAN port, which gets VNI and VTEP from the flow.
    """

    device: str
    number: int
    peer: str | None = None
    shaped: bool = False
    tunnel: bool = False

    @property
    def is_device(self) -> bool:
        """Whether there must be a network device of its name."""
        return self.peer is None and not self.tunnel


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """One switch as an Open vSwitch bridge."""

    switch: str
    device: str
    dpid: int
    ports: tuple[PortPlan, ...]


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """One Open vSwitch instance: its namespace, its management address, its bridges."""

    name: str
    netns: str
    address: IPv4Interface
    bridges: tuple[BridgePlan, ...]


@dataclass(frozen=True, slots=True)
class EndPlan:
    """One end of a wire: the network namespace and the name of its device (or patch port)."""

    netns: str
    device: str
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host: its namespace and interface, and the wire to its switch port."""

    name: str
    switch: str
    netns: str
    near: EndPlan
    far: EndPlan
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    gateways: tuple[IPv4Address | IPv6Address, ...]
    mtu: int
    shaping: Shaping
    names_file: str = ""
    """File name, in the lab's run directory, of the /etc/hosts that it sees; empty: the lab's one."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A wire between switches: a pair of patch ports, or a veth pair where a device is needed."""

    name: str
    kind: Literal["patch", "veth"]
    a: Port
    b: Port
    end_a: EndPlan
    end_b: EndPlan
    shaping: Shaping


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole lab."""

    domains: tuple[DomainPlan, ...]
    hosts: tuple[HostPlan, ...]
    links: tuple[LinkPlan, ...]
    underlay: UnderlayPlan = NONE

    @property
    def namespaces(self) -> Iterator[str]:
        """Every network namespace to make, domains first (their switches take longest to start)."""
        yield from (domain.netns for domain in self.domains)
        yield from (self.underlay.nodes[router] for router in self.underlay.routers)
        yield from (host.netns for host in self.hosts)


def _short_names(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Each name's device name; the short one counts, and steps past names that are taken."""
    listed = list(names)
    taken = set(listed)
    out = {}
    for index, name in enumerate(listed, 1):
        short = f"{prefix}{index}"
        while short in taken:
            short += "_"
        out[name] = device_name(name, short)
        taken.add(short)
    return out


def plan(topology: Topology, as_devices: frozenset[str] = frozenset()) -> Plan:
    """Decide everything that is to be built. ``as_devices``: links that shall be devices in any case."""
    bridges = _short_names((switch.name for switch in topology.switches), "sw")
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    devices = _port_devices(topology, bridges)
    netns = _namespace_names(topology)
    made = overlay(topology)
    crossing = _crossing_ports(topology, made)

    links = []
    peers: dict[tuple[str, int], str] = {}
    for link in topology.links:
        near, far = domain_of[link.a.switch], domain_of[link.b.switch]
        a, b = devices[link.a.switch, link.a.number], devices[link.b.switch, link.b.number]
        kind: Literal["patch", "veth"] = "patch"
        if link.shaping or near != far or link.name in as_devices:
            kind = "veth"
        if kind == "patch":
            peers[link.a.switch, link.a.number], peers[link.b.switch, link.b.number] = b, a
        end_a, end_b = EndPlan(netns["domain", near], a), EndPlan(netns["domain", far], b)
        links.append(LinkPlan(link.name, kind, link.a, link.b, end_a, end_b, link.shaping))

    gateways = {
        network.name: tuple(each.ip for each in (network.gateway4, network.gateway6) if each is not None)
        for network in topology.networks
    }
    several = len(topology.networks) > 1
    names = {n.name: f"hosts-{i}" if several else "" for i, n in enumerate(topology.networks)}
    hosts = tuple(
        _host(host, netns, devices, domain_of, gateways[host.network], names[host.network])
        for host in topology.hosts
    )

    shaped_ports = {(p.switch, p.number) for link in topology.links if link.shaping for p in (link.a, link.b)}
    shaped_ports |= {(host.port.switch, host.port.number) for host in topology.hosts if host.shaping}
    ports: dict[str, list[PortPlan]] = {switch.name: [] for switch in topology.switches}
    for (switch, number), device in sorted(devices.items(), key=lambda item: item[0][1]):
        shaped = (switch, number) in shaped_ports
        ports[switch].append(PortPlan(device, number, peers.get((switch, number)), shaped))
    for name, more in crossing.items():
        ports[name] += more
    domains = tuple(
        DomainPlan(
            domain.name,
            netns["domain", domain.name],
            management_address(index),
            tuple(
                BridgePlan(switch.name, bridges[switch.name], switch.dpid, tuple(ports[switch.name]))
                for switch in topology.switches
                if switch.domain == domain.name
            ),
        )
        for index, domain in enumerate(topology.domains)
    )
    taken = {*bridges.values(), *devices.values()}
    return Plan(domains, hosts, tuple(links), underlay_plan(topology, made, netns, taken))


def _crossing_ports(topology: Topology, made: Overlay) -> dict[str, list[PortPlan]]:
    """Per switch: the ports of uplinks (patch ports) and tunnels. Their names, which begin with ``_``, can be
    no other port's."""
    index = {switch.name: number for number, switch in enumerate(topology.switches, 1)}
    vni = {network.name: network.vni or 0 for network in topology.networks}
    native = topology.underlay is not None and topology.underlay.tunnels == "ovs"
    ports: dict[str, set[PortPlan]] = {}
    for uplink in made.uplinks:
        number = vni[uplink.network]
        near, far = f"_u{index[uplink.near.switch]}-{number}", f"_d{index[uplink.near.switch]}-{number}"
        ports.setdefault(uplink.near.switch, set()).add(PortPlan(near, uplink.near.number, far))
        ports.setdefault(uplink.far.switch, set()).add(PortPlan(far, uplink.far.number, near))
    for tunnel in made.tunnels:
        device = "_vxlan" if native else vxlan_device(vni[tunnel.network])
        port = PortPlan(device, tunnel.port.number, tunnel=native)
        ports.setdefault(tunnel.port.switch, set()).add(port)
    return {switch: sorted(some, key=lambda port: port.number) for switch, some in ports.items()}


def management_address(index: int) -> IPv4Interface:
    """The address of the ``index``-th domain's switches in the management network."""
    address = IPv4Address(int(MANAGEMENT.network.network_address) + 257 + index)
    return IPv4Interface((address, MANAGEMENT.network.prefixlen))


def _port_devices(topology: Topology, bridges: dict[str, str]) -> dict[tuple[str, int], str]:
    """The device name of every used switch port."""
    used = {(link.a.switch, link.a.number) for link in topology.links}
    used |= {(link.b.switch, link.b.number) for link in topology.links}
    used |= {(host.port.switch, host.port.number) for host in topology.hosts}
    index = {switch.name: number for number, switch in enumerate(topology.switches, 1)}
    return {
        (switch, number): device_name(f"{switch}-eth{number}", f"p{index[switch]}-{number}")
        for switch, number in used
    }


def _namespace_names(topology: Topology) -> dict[tuple[str, str], str]:
    """File names below /run/netns of all hosts and domains."""

    def file_name(name: str, short: str) -> str:
        return name if _SAFE.match(name) and len(name) < 200 else short

    out = {("host", host.name): file_name(host.name, f"host{i}") for i, host in enumerate(topology.hosts, 1)}
    for i, domain in enumerate(topology.domains, 1):
        out["domain", domain.name] = f"domain-{file_name(domain.name, str(i))}"
    for i, router in enumerate(topology.underlay.routers if topology.underlay else (), 1):
        out["router", router] = f"router-{file_name(router, str(i))}"
    return out


def _host(
    host: Host,
    netns: dict[tuple[str, str], str],
    devices: dict[tuple[str, int], str],
    domain_of: dict[str, str],
    gateways: tuple[IPv4Address | IPv6Address, ...],
    names_file: str,
) -> HostPlan:
    name = netns["host", host.name]
    near = EndPlan(name, device_name(host.interface, "eth0"), host.mac)
    far = EndPlan(netns["domain", domain_of[host.port.switch]], devices[host.port.switch, host.port.number])
    addresses = tuple(address for address in (host.ipv4, host.ipv6) if address is not None)
    return HostPlan(
        host.name, host.port.switch, name, near, far, addresses, gateways, host.mtu, host.shaping, names_file
    )
