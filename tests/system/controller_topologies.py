"""The lab of the controller's system tests."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.model.hosts import NamespaceHost
from topologies.model.topology import Domain, Link, Network, Port, Switch, Topology


def leaf_spine() -> Topology:
    """Two leaves, two spines, two hosts on each leaf (ports 3 and 4)."""
    names = ("leaf1", "leaf2", "spine1", "spine2")
    links = [
        Link(
            name=f"{leaf}-{spine}",
            a=Port(switch=leaf, number=number),
            b=Port(switch=spine, number=int(leaf[-1])),
        )
        for leaf in names[:2]
        for number, spine in enumerate(names[2:], 1)
    ]
    hosts = [
        NamespaceHost(
            name=f"h{n}",
            network="lan",
            port=Port(switch="leaf1" if n < 3 else "leaf2", number=3 + (n - 1) % 2),
            mac=f"02:00:00:00:00:{n:02x}",
            ipv4=IPv4Interface(f"10.0.0.{n}/24"),
            ipv6=IPv6Interface(f"2001:db8::{n}/64"),
            allow_spoofing=True,  # strangers are learned behind such ports only
        )
        for n in range(1, 5)
    ]
    return Topology(
        name="leaf-spine",
        domains=(Domain(name="d"),),
        networks=(
            Network(name="lan", subnet4=IPv4Network("10.0.0.0/24"), subnet6=IPv6Network("2001:db8::/64")),
        ),
        switches=tuple(Switch(name=name, domain="d", dpid=n) for n, name in enumerate(names, 1)),
        links=tuple(links),
        hosts=tuple(hosts),
    )
