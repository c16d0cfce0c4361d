"""Small topologies for the data plane's tests."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import pairwise

from topologies.model.topology import Domain, Host, Link, Network, Port, Shaping, Switch, Topology

NONE = Shaping()


def line(
    switches: int,
    domains: int = 1,
    shaping: Shaping = NONE,
    prefix: str = "s",
    host_shaping: Shaping = NONE,
) -> Topology:
    """Switches in a line, dealt out over domains in turn, with one host each on port 1."""
    names = [f"{prefix}{i}" for i in range(1, switches + 1)]
    return Topology(
        name="line",
        domains=tuple(Domain(name=f"d{i}") for i in range(1, domains + 1)),
        networks=(
            Network(name="default", subnet4=IPv4Network("10.0.0.0/16"), subnet6=IPv6Network("fd00::/64")),
        ),
        switches=tuple(
            Switch(name=name, domain=f"d{i % domains + 1}", dpid=i + 1) for i, name in enumerate(names)
        ),
        links=tuple(
            Link(name=f"{a}-{b}", a=Port(switch=a, number=3), b=Port(switch=b, number=2), shaping=shaping)
            for a, b in pairwise(names)
        ),
        hosts=tuple(
            Host(
                name=f"h{i}",
                network="default",
                port=Port(switch=name, number=1),
                mac=f"02:00:00:00:00:{i:02x}",
                ipv4=IPv4Interface(f"10.0.0.{i}/16"),
                ipv6=IPv6Interface(f"fd00::{i:x}/64"),
                shaping=host_shaping,
            )
            for i, name in enumerate(names, 1)
        ),
    )
