"""The plan of a lab as plain values: names, wires, bridges, functions' devices.

Everything here is a pure function; ``dataplane.fabric`` builds the plan.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from types import MappingProxyType
from typing import Literal

from typing_extensions import assert_never

from dataplane.netlink.shaping import LARGEST, largest_packet
from dataplane.plan.pieces import BridgePlan as BridgePlan
from dataplane.plan.pieces import DomainPlan as DomainPlan
from dataplane.plan.pieces import EndPlan as EndPlan
from dataplane.plan.pieces import HostPlan as HostPlan
from dataplane.plan.pieces import HostWirePlan as HostWirePlan
from dataplane.plan.pieces import InstancePlan as InstancePlan
from dataplane.plan.pieces import LinkPlan as LinkPlan
from dataplane.plan.pieces import PortPlan as PortPlan
from dataplane.plan.pieces import SpaceKind
from dataplane.plan.pieces import WirePlan as WirePlan
from dataplane.plan.several import default_routes, hosts_names, names_file, stated_defaults, tables
from dataplane.plan.stretches import breaks
from dataplane.plan.trunks import TrunkPlan, patch, short_name, trunk_plan
from dataplane.plan.underlay import NONE, UnderlayPlan, underlay_plan, vnis, vxlan_device
from topologies.model import outside
from topologies.model.attachment import AtPorts, EndSystem, Flows, Inline, Tap
from topologies.model.choices import NAMESPACE, ROUTER, SDNLAB
from topologies.model.functions import Function
from topologies.model.host_wires import host_wires
from topologies.model.kinds import DhcpServer, LoadBalancer, RateLimiter
from topologies.model.overlay import Overlay, overlay
from topologies.model.topology import Host, Port, Topology
from topologies.model.transit import without_offloads
from topologies.model.trunks import trunks
from topologies.model.zones import udp_timeouts

DEVICE_NAME_LIMIT = 15
"""The kernel's IFNAMSIZ is 16 with the closing NUL."""
MANAGEMENT = IPv4Interface("198.18.0.1/16")
"""The management network, from the range for device tests (RFC 2544), which labs rarely use as a subnet."""

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


def device_name(wanted: str, short: str) -> str:
    """``wanted`` if it is allowed as a device's name (15 ASCII characters, no slash), otherwise ``short``.

    This is the rule for the name of every device and bridge.  ``short`` must be unique and allowed.
    """
    return wanted if len(wanted) <= DEVICE_NAME_LIMIT and _SAFE.match(wanted) else short


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a whole lab."""

    domains: tuple[DomainPlan, ...]
    hosts: tuple[HostPlan, ...]
    links: tuple[LinkPlan, ...]
    underlay: UnderlayPlan = NONE
    instances: tuple[InstancePlan, ...] = ()
    trunks: tuple[TrunkPlan, ...] = ()
    host_wires: tuple[HostWirePlan, ...] = ()
    largest: int = LARGEST
    """Bytes of the largest packet that any host or function sends without segmentation."""

    @property
    def namespaces(self) -> Iterator[str]:
        """Every network namespace to make, domains first (their switches take longest to start)."""
        yield from (domain.netns for domain in self.domains)
        yield from self.underlay.nodes.values()
        yield from (host.netns for host in self.hosts if not host.host.of)
        yield from (instance.netns for instance in self.instances)

    @property
    def wires(self) -> dict[tuple[str, ...], WirePlan]:
        """Every pair of devices (except the underlay's) by its purpose: of a host, an instance, a link, or
        between two hosts."""
        wires: dict[tuple[str, ...], WirePlan] = {
            ("host", host.name): host.wire for host in self.hosts if host.switch
        }
        for between in self.host_wires:
            a, b = between.wire.near, between.wire.far
            wires["between", f"{a.netns} {a.device}", f"{b.netns} {b.device}"] = between.wire
        for instance in self.instances:
            wires |= {("instance", instance.name, wire.near.device): wire for wire in instance.wires}
        wires |= {("trunk", trunk.name): trunk.wire for trunk in self.trunks}
        wires = {key: _with_largest(wire, self.largest) for key, wire in wires.items()}
        wires |= {("link", "trunk", trunk.name): trunk.tagged for trunk in self.trunks}
        return wires | {("link", link.name): link.wire for link in self.links if link.kind == "veth"}


def _with_largest(wire: WirePlan, largest: int) -> WirePlan:
    back = wire.back and replace(wire.back, largest=largest)
    return replace(wire, largest=largest, back=back)


def devices_of(plan: Plan) -> frozenset[str]:
    """The links between switches that are pairs of devices."""
    return frozenset(link.name for link in plan.links if link.kind == "veth")


def bare_at_first(plan: Plan) -> frozenset[str]:
    """The switches that can get tables before they have their ports, because all their devices lead to hosts.

    At every message and event, ovs-vswitchd polls all ports, and it takes 50 OpenFlow messages at a time: the
    tables of a switch with 1,000 ports cost a second more than those of one that has none yet.  A port that
    leads to a switch or function decides the tables: so such a switch has all its ports before it connects. A
    user's own controller also finds all ports when a switch connects.
    """
    to_hosts = {(host.far.netns, host.far.device) for host in plan.hosts}
    return frozenset(
        bridge.switch
        for domain in plan.domains
        for bridge in domain.bridges
        if bridge.controller == SDNLAB
        and all(
            (domain.netns, port.device) in to_hosts for port in bridge.ports if port.is_device or port.tunnel
        )
    )


def space_kinds(plan: Plan) -> dict[str, SpaceKind]:
    """Namespace -> its purpose, for hosts and functions' instances."""
    kinds: dict[str, SpaceKind] = {
        host.netns: "router" if host.kind == ROUTER else "host" for host in plan.hosts
    }
    return kinds | {instance.netns: "quiet" if instance.quiet else "attached" for instance in plan.instances}


def _short_names(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Each name's device name. Short names are numbered, and skip names that are taken."""
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


def plan(
    topology: Topology,
    as_devices: frozenset[str] = frozenset(),
    moves: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """The plan for a topology. ``as_devices``: links that must be devices in any case. ``moves``: host ->
    how often it has gone to a new namespace, each of which has a name of its own."""
    bridges = _short_names((switch.name for switch in topology.switches), "sw")
    domain_of = {switch.name: switch.domain for switch in topology.switches}
    devices = _port_devices(topology, bridges)
    netns = _namespace_names(topology, moves)
    lab_overlay = overlay(topology)
    crossing = _crossing_ports(topology, lab_overlay)

    as_devices |= breaks(topology)
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
        links.append(LinkPlan(link.name, kind, link.a, link.b, end_a, end_b, link.shaping, link.mtu))

    near_ends = {host.name: _near_end(host, netns) for host in topology.hosts}
    far_ends = {host.name: near_ends[host.peer] for host in topology.hosts if host.peer}
    for host in topology.attached:
        port = host.at.switch, host.at.number
        far_ends[host.name] = EndPlan(netns["domain", domain_of[port[0]]], devices[port])
    gateways = {
        network.name: tuple(gateway.ip for gateway in network.gateways) for network in topology.networks
    }
    several = len(topology.networks) > 1
    names = {network.name: names_file(network.name) if several else "" for network in topology.networks}
    names_files = hosts_names(topology)
    whole = without_offloads(topology)
    own_tables = tables(topology)
    # they have no default route in their network: they are the default route
    exits = outside.gateways(topology)
    stated = stated_defaults(topology)
    hosts = tuple(
        _host(
            host,
            near_ends[host.name],
            far_ends[host.name],
            default_routes(
                host,
                gateways[host.network] if host.name not in exits else (),
                stated[host.node],
                own_tables,
            ),
            names_files[host.node].file,
            host.name in whole,
            own_tables.get(host.name, 0),
        )
        for host in topology.hosts
    )
    by_name = {host.name: host for host in hosts}
    between = tuple(
        HostWirePlan(wire.name, replace(by_name[wire.a.name].wire, back=by_name[wire.b.name].wire))
        for wire in host_wires(topology)
    )
    instances = tuple(_instances(topology, netns, devices, domain_of, gateways, names, whole))

    shaped_ports = {(p.switch, p.number) for link in topology.links if link.shaping for p in (link.a, link.b)}
    shaped_ports |= {(host.at.switch, host.at.number) for host in topology.attached if host.shaping}
    ports: dict[str, list[PortPlan]] = {switch.name: [] for switch in topology.switches}
    all_trunks = trunks(topology)
    patches = {
        (vlan.at.switch, vlan.at.number): patch(trunk, vlan.at.number, vlan.vlan or 0)
        for trunk in all_trunks
        for vlan in trunk.vlans
    }
    for (switch, number), device in sorted(devices.items(), key=lambda item: item[0][1]):
        if (switch, number) in patches:
            ports[switch].append(patches[switch, number])
            continue
        shaped = (switch, number) in shaped_ports
        ports[switch].append(PortPlan(device, number, peers.get((switch, number)), shaped))
    for name, more in crossing.items():
        ports[name] += more
    timeouts = udp_timeouts(topology)
    domains = tuple(
        DomainPlan(
            domain.name,
            netns["domain", domain.name],
            management_address(index),
            tuple(
                BridgePlan(
                    switch.name,
                    bridges[switch.name],
                    switch.dpid,
                    tuple(ports[switch.name]),
                    switch.controller,
                )
                for switch in topology.switches
                if switch.domain == domain.name
            ),
            tuple(sorted(timeouts.get(domain.name, {}).items())),
        )
        for index, domain in enumerate(topology.domains)
    )
    under = underlay_plan(topology, lab_overlay, netns)
    shapings = [*(link.shaping for link in links), *(host.shaping for host in hosts)]
    shapings += [link.shaping for link in under.links if link.shaping is not None]
    buckets = (limiter.rate.burst for limiter in topology.functions if isinstance(limiter, RateLimiter))
    largest = largest_packet(shapings, buckets)
    trunk_plans = tuple(
        trunk_plan(trunk, by_name, device_name(trunk.device, short_name(trunk.device)))
        for trunk in all_trunks
    )
    return Plan(domains, hosts, tuple(links), under, instances, trunk_plans, between, largest)


def _crossing_ports(topology: Topology, overlay: Overlay) -> dict[str, list[PortPlan]]:
    """Switch -> the ports of uplinks (patch ports) and tunnels, of networks and of chains' transports.

    Their names begin with ``_``; no other port has such a name.
    """
    index = {switch.name: number for number, switch in enumerate(topology.switches, 1)}
    vni = vnis(topology, overlay)
    native = topology.underlay is not None and topology.underlay.tunnels == "ovs"
    ports: dict[str, set[PortPlan]] = {}
    transports = overlay.transports
    for uplink in (*overlay.uplinks, *(uplink for transport in transports for uplink in transport.uplinks)):
        number = vni[uplink.network]
        near, far = f"_u{index[uplink.near.switch]}-{number}", f"_d{index[uplink.near.switch]}-{number}"
        ports.setdefault(uplink.near.switch, set()).add(PortPlan(near, uplink.near.number, far))
        ports.setdefault(uplink.far.switch, set()).add(PortPlan(far, uplink.far.number, near))
    for tunnel in (*overlay.tunnels, *(tunnel for transport in transports for tunnel in transport.tunnels)):
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
    used |= {(host.at.switch, host.at.number) for host in topology.attached}
    used |= {(port.switch, port.number) for _, _, plugs in _plugs(topology) for _, port in plugs}
    index = {switch.name: number for number, switch in enumerate(topology.switches, 1)}
    return {
        (switch, number): device_name(f"{switch}-eth{number}", f"p{index[switch]}-{number}")
        for switch, number in used
    }


def _namespace_names(topology: Topology, moves: Mapping[str, int]) -> dict[tuple[str, str], str]:
    """File names below /run/netns of all hosts and domains."""

    # hosts and functions are added and removed in a running lab, so their names do not count
    out = {
        ("host", h.name): _file_name(h.name, f"host-{_digest(h.name)}")
        + settings_mark(h)
        + (f"@{moves[h.name]}" if moves.get(h.name) else "")
        for h in topology.nodes
    }
    out |= {("host", h.name): out["host", h.of] for h in topology.hosts if h.of}
    for name, _, _ in _plugs(topology):
        out["instance", name] = instance_netns(name)
    for i, domain in enumerate(topology.domains, 1):
        out["domain", domain.name] = f"domain-{_file_name(domain.name, str(i))}"
        out["underlay", domain.name] = f"underlay-{_file_name(domain.name, str(i))}"
    for i, router in enumerate(topology.underlay.routers if topology.underlay else (), 1):
        out["router", router] = f"router-{_file_name(router, str(i))}"
    return out


def settings_mark(host: Host) -> str:
    """What tells a host from one of the same name with settings that no running host can change.

    It is a part of the name of its namespace, so a change of these settings makes the host anew: ``@`` is in
    no host's name.
    """
    fixed = (host.own.hostname, host.own.files, host.own.private)
    if host.kind == NAMESPACE and host.part is None and not any(fixed):
        return ""
    part = host.part.model_dump_json() if host.part is not None else ""
    return f"@{_digest(repr((host.kind, part, fixed)))[:8]}"


def _file_name(name: str, short: str) -> str:
    return name if _SAFE.match(name) and len(name) < 200 else short


def instance_netns(instance: str) -> str:
    """The file name below /run/netns of a function's instance (or balancer)."""
    return f"function-{_file_name(instance, _digest(instance))}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _plugs(topology: Topology) -> Iterator[tuple[str, Function, list[tuple[str, Port]]]]:
    """Every instance's name and function, and its devices with the switch ports that they are wired to.

    A load balancer has one instance, of its own name: the end system at its virtual address.
    """
    for function in topology.functions:
        match function.attachment:
            case Tap(instances=taps):
                for tap in taps:
                    yield tap.name, function, [("tap", tap.inward)]
            case Inline(instances=bumps):
                for bump in bumps:
                    yield bump.name, function, list(bump.sides)
            case Flows() | AtPorts() | EndSystem():
                pass
            case never:
                assert_never(never)
        if function.end_system is not None:
            yield function.name, function, [("eth0", function.end_system)]


def _instances(
    topology: Topology,
    netns: dict[tuple[str, str], str],
    devices: dict[tuple[str, int], str],
    domain_of: dict[str, str],
    gateways: dict[str, tuple[IPv4Address | IPv6Address, ...]],
    names: dict[str, str],
    unaided: frozenset[str],
) -> Iterator[InstancePlan]:
    """The devices of functions. Their wires accept packets of any host (``thick``).

    ``unaided``: the functions that must send packets without offloads.
    """
    mtu = max((host.mtu for host in topology.attached), default=1500)
    for name, function, plugs in _plugs(topology):
        space = netns["instance", name]
        own = function.part if isinstance(function, (LoadBalancer, DhcpServer)) else None
        whole = function.name in unaided
        wires = []
        for device, port in plugs:
            far = EndPlan(netns["domain", domain_of[port.switch]], devices[port.switch, port.number])
            if own is None:
                near_end = EndPlan(space, device)
                wires.append(WirePlan(near_end, far, mtu=max(mtu, 1500), thick=True, whole=whole))
                continue
            addresses = own.addresses
            # without an address of a family, there is no route to a gateway of this family
            usable = {address.version for address in addresses}
            ways = tuple(address for address in gateways[own.network] if address.version in usable)
            end = EndPlan(space, device, own.mac)
            near = [host.mtu for host in topology.hosts if host.network == own.network]
            own_mtu = max(near, default=mtu)
            wires.append(WirePlan(end, far, addresses, ways, own_mtu, whole=whole))
        names_file = names[own.network] if own is not None else ""
        switch = plugs[0][1].switch
        yield InstancePlan(name, function.name, switch, space, tuple(wires), own is None, names_file)


def _near_end(host: Host, netns: dict[tuple[str, str], str]) -> EndPlan:
    """The device of an interface."""
    short = f"eth{host.name.rpartition('-eth')[2]}" if host.of else "eth0"
    short = f"{short_name(host.trunk)}.{host.vlan}" if host.trunk else short
    return EndPlan(netns["host", host.name], device_name(host.interface, short), host.mac)


def _host(
    host: Host,
    near: EndPlan,
    far: EndPlan,
    gateways: tuple[IPv4Address | IPv6Address, ...],
    names_file: str,
    whole: bool,
    table: int,
) -> HostPlan:
    addresses = tuple(address for address in (host.ipv4, host.ipv6) if address is not None)
    if host.dhcp:  # what is of IPv4 comes with its lease
        addresses = tuple(address for address in addresses if address.version == 6)
        gateways = tuple(address for address in gateways if address.version == 6)
    return HostPlan(
        host.name,
        host.port.switch if host.port is not None else "",
        near.netns,
        near,
        far,
        addresses,
        gateways,
        host.mtu,
        host.shaping,
        host,
        names_file,
        whole,
        table,
    )
