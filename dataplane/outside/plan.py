"""The gateways of a lab as values, and the packet filter of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import NamedTuple

from dataplane.plan.lab import Plan
from topologies.model import outside
from topologies.model.topology import Topology

PROGRAM = "slirp4netns"
TAP = "tap0"
OWN4 = IPv4Interface("198.18.255.100/24")
STACK4 = IPv4Address("198.18.255.2")
OWN6 = IPv6Interface("fd73:646e:6c61:62::2/128")
"""An address alone: the stack's own prefix, fd00::/64, is also that of a lab's first network."""
STACK6 = IPv6Address("fe80::2")
TABLE = "sdnlab"
EVERYWHERE: dict[int, IPv4Network | IPv6Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
LEAST_MTU, MOST_MTU = 1280, 65520
SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv6/conf/all/accept_redirects": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/route_localnet": "0",
    "ipv4/conf/all/rp_filter": "1",
    "ipv4/conf/default/rp_filter": "1",
}


class Forward(NamedTuple):
    """A published TCP port: it leads to port ``to`` of ``host``, at its ``address``."""

    port: int
    host: str
    address: IPv4Address
    to: int


@dataclass(frozen=True)
class GatewayPlan:
    """The gateway of a network. ``netns``: its namespace; ``device``: its interface in the network, with an
    ``mtu`` in bytes; ``ipv6``: it has an IPv6 address. ``open``: the network's hosts get out. ``inside``:
    what is never outside. ``addresses``: of the interface. ``routes``: subnet -> the router that leads
    there."""

    network: str
    host: str
    netns: str
    device: str
    mtu: int
    ipv6: bool
    open: bool
    inside: tuple[IPv4Network | IPv6Network, ...]
    forwards: tuple[Forward, ...]
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    routes: tuple[tuple[IPv4Network | IPv6Network, IPv4Address | IPv6Address], ...] = ()


def gateway_plans(topology: Topology, plan: Plan) -> tuple[GatewayPlan, ...]:
    """The gateways of a lab, in the order of networks."""
    if not topology.outside:
        return ()
    hosts = {host.name: host for host in plan.hosts}
    inside = tuple(dict.fromkeys(outside.inside(topology)))
    plans = []
    for way in topology.outside:
        host = hosts[way.gateway]
        forwards = []
        for port in outside.published(topology, way):
            address = hosts[port.host].host.ipv4
            if address is not None:
                forwards.append(Forward(port.port, port.host, address.ip, port.to))
        plans.append(
            GatewayPlan(
                way.network,
                way.gateway,
                host.netns,
                host.near.device,
                host.mtu,
                host.host.ipv6 is not None,
                way.open,
                inside,
                tuple(forwards),
                host.addresses,
                tuple(_routes(topology, way.network)),
            )
        )
    return tuple(plans)


def _routes(
    topology: Topology, network: str
) -> Iterator[tuple[IPv4Network | IPv6Network, IPv4Address | IPv6Address]]:
    """How a gateway in ``network`` reaches the networks that a router joins to it."""
    networks = {known.name: known for known in topology.networks}
    for router in topology.routers:
        for name in router.networks if network in router.networks else ():
            for subnet in networks[name].subnets if name != network else ():
                own = networks[network].gateway(subnet.version)
                if own is not None:
                    yield subnet, own.ip


def rules(gateway: GatewayPlan) -> str:
    """The packet filter of a gateway, for nft(8): it replaces the one before in one step.

    Connections from outside come only by published ports, and seem to come from the gateway itself. Also what
    was opened before is cut when the file allows it no more.
    """
    return "\n".join(_rules(gateway)) + "\n"


def _rules(gateway: GatewayPlan) -> Iterator[str]:
    lan = f'"{gateway.device}"'
    refused = [prefix for prefix in gateway.inside if prefix.version == 4]
    refused6 = [prefix for prefix in gateway.inside if prefix.version == 6]
    dns = outside.NAME_SERVER
    yield f"table inet {TABLE}"
    yield f"delete table inet {TABLE}"
    yield f"table inet {TABLE} {{"
    yield "chain forward {"
    yield "type filter hook forward priority 0; policy drop;"
    for forward in gateway.forwards:
        yield f"meta l4proto tcp ct original proto-dst {forward.port} ct status dnat accept"
    yield "ct status dnat drop"
    if gateway.open:
        answer = "reject with icmpx type admin-prohibited"
        yield f'iifname "{TAP}" oifname {lan} ct state established,related accept'
        yield f"iifname {lan} ip daddr {dns} udp dport 53 accept"
        yield f"iifname {lan} ip daddr {dns} tcp dport 53 accept"
        yield from (f"iifname {lan} ip daddr {prefix} {answer}" for prefix in refused)
        yield from (f"iifname {lan} ip6 daddr {prefix} {answer}" for prefix in refused6)
        yield f'iifname {lan} oifname "{TAP}" ct state new,established,related accept'
    yield "}"
    yield "chain input {"
    yield "type filter hook input priority 0; policy accept;"
    yield f'iifname "{TAP}" ct state new drop'
    yield "}"
    yield "chain prerouting {"
    yield "type nat hook prerouting priority -100;"
    for forward in gateway.forwards:
        yield (f'iifname "{TAP}" tcp dport {forward.port} dnat ip to {forward.address}:{forward.to}')
    yield "}"
    yield "chain postrouting {"
    yield "type nat hook postrouting priority 100;"
    yield f'oifname "{TAP}" masquerade'
    yield f"oifname {lan} ct status dnat masquerade"
    yield "}"
    yield "}"


def arguments(gateway: GatewayPlan, api: str) -> list[str]:
    """The arguments of the stack. Files: 0 the gateway's namespace, 1 where it says that it is ready, 2 the
    folder of its socket ``api``."""
    mtu = min(max(gateway.mtu, LEAST_MTU), MOST_MTU)
    return [
        "--netns-type=path",
        f"--mtu={mtu}",
        *(["--enable-ipv6"] if gateway.ipv6 else []),
        f"--cidr={outside.LINK}",
        "--disable-host-loopback",
        "--enable-sandbox",
        "--enable-seccomp",
        "--ready-fd={1}",
        f"--api-socket=/proc/self/fd/{{2}}/{api}",
        "/proc/self/fd/{0}",
        TAP,
    ]
