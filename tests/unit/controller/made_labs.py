"""Topologies built by hand for the tests: edges of numbers in, a resolved Topology out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.model.topology import Domain, Host, Link, Network, Port, Switch, Topology


def lab(count: int, edges: Iterable[tuple[int, int]], hosts: Sequence[int], networks: int = 1) -> Topology:
    """``count`` switches s1.., links for ``edges`` (0-based, repeats are parallel links), one
    host on each switch of ``hosts``, dealt out over ``networks`` in turn."""
    used = [0] * count

    def port(switch: int) -> Port:
        used[switch] += 1
        return Port(switch=f"s{switch + 1}", number=used[switch])

    people = []
    for number, switch in enumerate(hosts, 1):
        network = (number - 1) % networks + 1
        people.append(
            Host(
                name=f"h{number}",
                network=f"n{network}",
                port=port(switch),
                mac=(0x020000000000 + number).to_bytes(6, "big").hex(":"),
                ipv4=IPv4Interface(f"10.{network}.{number // 250}.{number % 250 + 1}/16"),
                ipv6=IPv6Interface(f"2001:db8:{network}::{number:x}/64"),
            )
        )
    wires, seen = [], dict[str, int]()
    for a, b in edges:
        name = f"s{a + 1}-s{b + 1}"
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        wires.append(Link(name=name, a=port(a), b=port(b)))
    return Topology(
        name="lab",
        domains=(Domain(name="d1"),),
        networks=tuple(
            Network(
                name=f"n{number}",
                subnet4=IPv4Network(f"10.{number}.0.0/16"),
                subnet6=IPv6Network(f"2001:db8:{number}::/64"),
            )
            for number in range(1, networks + 1)
        ),
        switches=tuple(
            Switch(name=f"s{number + 1}", domain="d1", dpid=number + 1) for number in range(count)
        ),
        links=tuple(wires),
        hosts=tuple(people),
    )


def leaf_spine(leaves: int = 3, spines: int = 2, hosts_per_leaf: int = 2, networks: int = 1) -> Topology:
    """Leaves first (s1..), then spines; ``hosts_per_leaf`` hosts at each leaf."""
    edges = [(leaf, leaves + spine) for leaf in range(leaves) for spine in range(spines)]
    return lab(
        leaves + spines, edges, [leaf for leaf in range(leaves) for _ in range(hosts_per_leaf)], networks
    )
