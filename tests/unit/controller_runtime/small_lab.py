"""A small lab, and switches that exist only as what they hold."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.model.attachment import Flows, Inline, InlineInstance
from topologies.model.functions import Backend, Balancer, Chain, Function
from topologies.model.kinds import function_of
from topologies.model.topology import Domain, Host, Link, Network, Port, Switch, Topology


def ring(switches: int = 4) -> Topology:
    """``s1``..: a ring; port 1 leads on, port 2 back, a host ``h<n>`` of network lan on port 3."""
    names = [f"s{n}" for n in range(1, switches + 1)]
    return Topology(
        name="ring",
        domains=(Domain(name="d"),),
        networks=(
            Network(name="lan", subnet4=IPv4Network("10.0.0.0/24"), subnet6=IPv6Network("2001:db8::/64")),
        ),
        switches=tuple(Switch(name=name, domain="d", dpid=n) for n, name in enumerate(names, 1)),
        links=tuple(
            Link(
                name=f"{a}-{b}",
                a=Port(switch=a, number=1),
                b=Port(switch=b, number=2),
            )
            for a, b in zip(names, names[1:] + names[:1], strict=True)
        ),
        hosts=tuple(
            Host(
                name=f"h{n}",
                network="lan",
                port=Port(switch=name, number=3),
                mac=f"02:00:00:00:00:{n:02x}",
                ipv4=IPv4Interface(f"10.0.0.{n}/24"),
                ipv6=IPv6Interface(f"2001:db8::{n}/64"),
                allow_spoofing=True,  # these are about strangers, who are learned behind such ports only
            )
            for n, name in enumerate(names, 1)
        ),
    )


def serviced(instances: int = 2, order: tuple[str, ...] = ("fw", "limit")) -> Topology:
    """The ring with functions ``fw`` at s1 and ``limit`` at s3, a load balancer ``lb``, and chain ``web``."""
    lab = ring()
    functions = (
        _inline("fw", "s1", instances),
        _inline("limit", "s3", 1),
        function_of(
            name="lb",
            kind="load-balancer",
            engine="openflow",
            attachment=Flows(switch="s2"),
            balancer=Balancer(
                network="lan",
                at=Port(switch="s2", number=40009),
                mac="02:00:01:00:00:01",
                ipv4=IPv4Interface("10.0.0.80/24"),
                port=80,
                backends=tuple(
                    Backend(host=host.name, mac=host.mac, ipv4=host.ipv4, port=80) for host in lab.hosts[2:]
                ),
            ),
        ),
    )
    chain = Chain(name="web", path=1, network="lan", far_network="lan", protocol="tcp", functions=order)
    return lab.model_copy(update={"functions": functions, "chains": (chain,)})


def _inline(name: str, switch: str, instances: int) -> Function:
    return function_of(
        name=name,
        kind="bridge",
        engine="kernel",
        attachment=Inline(
            switch=switch,
            instances=tuple(
                InlineInstance(
                    name=f"{name}.{n}",
                    inward=Port(switch=switch, number=40000 + 2 * n - 1),
                    outward=Port(switch=switch, number=40000 + 2 * n),
                )
                for n in range(1, instances + 1)
            ),
        ),
    )
