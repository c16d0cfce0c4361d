"""Topologies with domains, an underlay and tenants' routers, built by hand for the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Literal

from hypothesis import strategies as st

from tests.unit.strategies import edges, places, some_of
from topologies.model.topology import (
    Domain,
    Host,
    Link,
    Network,
    Port,
    Router,
    Switch,
    Topology,
    Underlay,
    UnderlayEnd,
    UnderlayLink,
    Vtep,
)

Tunnels = Literal["kernel", "ovs"]
DOMAINS = st.lists(st.integers(1, 3), min_size=1, max_size=3)
"""How many switches each has."""
TUNNELS: st.SearchStrategy[Tunnels] = st.sampled_from(("kernel", "ovs"))


def overlay_lab(
    domains: Sequence[int],
    edges: Iterable[tuple[int, int]],
    hosts: Sequence[tuple[int, int]],
    routed: Sequence[Sequence[int]] = (),
    tunnels: Tunnels = "kernel",
    free: frozenset[int] = frozenset(),
) -> Topology:
    """``domains``: switches in each (s1, s2, ... in order). ``edges``: links between switches, from 0.
    ``hosts``: (switch, network), both from 0; hosts with indexes in ``free`` may spoof. ``routed``:
    the networks of each router. Networks that are not routed all have the same addresses."""
    count = sum(domains)
    home = [f"d{d + 1}" for d, size in enumerate(domains) for _ in range(size)]
    used = [0] * count

    def port(switch: int) -> Port:
        used[switch] += 1
        return Port(switch=f"s{switch + 1}", number=used[switch])

    number_of_networks = max(n for _, n in hosts) + 1
    of_router = {n: r for r, networks in enumerate(routed) for n in networks}

    def third(network: int) -> int:
        return network + 1 if network in of_router else 0

    made_hosts = []
    seen = [0] * number_of_networks
    for index, (switch, network) in enumerate(hosts):
        seen[network] += 1
        made_hosts.append(
            Host(
                name=f"h{index + 1}",
                network=f"n{network + 1}",
                port=port(switch),
                mac=(0x020000000001 + index).to_bytes(6, "big").hex(":"),
                ipv4=IPv4Interface(f"10.0.{third(network)}.{seen[network]}/24"),
                ipv6=IPv6Interface(f"fd00:0:0:{third(network):x}::{seen[network]:x}/64"),
                allow_spoofing=index in free,
            )
        )
    links = []
    for number, (a, b) in enumerate(edges, 1):
        links.append(Link(name=f"l{number}", a=port(a), b=port(b)))
    networks = []
    for n in range(number_of_networks):
        gateway4 = IPv4Interface(f"10.0.{third(n)}.254/24") if n in of_router else None
        gateway6 = IPv6Interface(f"fd00:0:0:{third(n):x}::fffe/64") if n in of_router else None
        networks.append(
            Network(
                name=f"n{n + 1}",
                vni=100 + n,
                subnet4=IPv4Network(f"10.0.{third(n)}.0/24"),
                subnet6=IPv6Network(f"fd00:0:0:{third(n):x}::/64"),
                gateway4=gateway4,
                gateway6=gateway6,
            )
        )
    names = [f"d{d + 1}" for d in range(len(domains))]
    switches = [Switch(name=f"s{s + 1}", domain=home[s], dpid=s + 1) for s in range(count)]
    switches += [
        Switch(name=f"vtep-{name}", domain=name, dpid=count + d + 1, role="vtep")
        for d, name in enumerate(names)
    ]
    underlay = Underlay(
        subnet=IPv4Network("198.19.0.0/16"),
        mtu=1600,
        tunnels=tunnels,
        routers=("r1",),
        links=tuple(
            UnderlayLink(
                name=f"{name}-r1",
                a=UnderlayEnd(node=name, address=IPv4Interface(f"198.19.128.{2 * d}/31")),
                b=UnderlayEnd(node="r1", address=IPv4Interface(f"198.19.128.{2 * d + 1}/31")),
            )
            for d, name in enumerate(names)
        ),
        vteps=tuple(
            Vtep(domain=name, switch=f"vtep-{name}", address=IPv4Address(f"198.19.0.{d + 1}"))
            for d, name in enumerate(names)
        ),
    )
    return Topology(
        name="lab",
        domains=tuple(Domain(name=name) for name in names),
        networks=tuple(networks),
        switches=tuple(switches),
        links=tuple(links),
        hosts=tuple(made_hosts),
        routers=tuple(
            Router(name=f"t{r + 1}", networks=tuple(f"n{n + 1}" for n in some))
            for r, some in enumerate(routed)
        ),
        underlay=underlay,
    )


@st.composite
def overlay_labs(draw: st.DrawFn, tunnels: Tunnels | None = None, free: bool = True) -> Topology:
    """Any small lab of several domains: links within and between them or none, up to four networks, of
    which two or three may be routed; with ``free``, some hosts may spoof."""
    domains = draw(DOMAINS)
    links = draw(edges(sum(domains), most=3))
    hosts = draw(places(sum(domains), draw(st.integers(1, 4)), 2, 7))
    present = max(n for _, n in hosts) + 1
    routed: list[list[int]] = []
    if present >= 2 and draw(st.booleans()):
        first = draw(st.integers(2, present))
        routed.append(list(range(first)))
    kind: Tunnels = tunnels or draw(TUNNELS)
    spoofers = draw(some_of(*range(len(hosts)), most=2)) if free else frozenset()
    return overlay_lab(domains, links, hosts, routed, kind, spoofers)
