"""Topology files of the service chains that are measured: text from a few numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def rules(count: int) -> list[dict[str, object]]:
    """``count`` rules of which only the last lets anything through: what has to be looked through to find it.

    Addresses, ports and protocols vary, so that no engine may take them for one.
    """
    rules: list[dict[str, object]] = [
        {
            "action": "drop" if number % 2 else "accept",
            "source": f"10.{128 + number // 250 % 100}.{number % 250}.0/24",
            "protocol": "udp" if number % 3 else "tcp",
            "ports": 1024 + number * 7 % 60000,
        }
        for number in range(count - 1)
    ]
    return [*rules, {"action": "accept", "protocol": "tcp"}]


def _yaml_rules(count: int) -> str:
    lines = []
    for rule in rules(count):
        inside = ", ".join(f"{key}: {value}" for key, value in rule.items())
        lines.append(f"      - {{{inside}}}")
    return "\n".join(lines)


def inline(count: int, kind: str, order: Sequence[int] = ()) -> str:
    """Two hosts on one switch, and ``count`` functions that do nothing on the way: ``bridge``, or
    ``nftables`` with no rule but its default. ``order``: their numbers in the
    chain's order; 1, 2, … when empty."""
    text = "name: steering\nswitches: [s1]\nhosts: {a: s1, b: s1}\n"
    if not count:
        return text
    what = (
        "kind: bridge" if kind == "bridge" else "kind: firewall, engine: nftables, default: accept, rules: []"
    )
    text += "functions:\n" + "".join(
        f"  f{number}: {{{what}, switch: s1}}\n" for number in range(1, count + 1)
    )
    listed = ", ".join(f"f{number}" for number in order or range(1, count + 1))
    return text + f"chains:\n  way: {{source: a, destination: b, direction: both, functions: [{listed}]}}\n"


def firewalled(engine: str, count: int) -> str:
    """Two hosts, and a firewall with ``count`` rules: in a chain (nftables) or at the hosts' ports."""
    text = "name: rules\nswitches: [s1]\nhosts: {a: s1, b: s1}\nfunctions:\n  fw:\n    kind: firewall\n"
    where = "switch: s1" if engine == "nftables" else "networks: [lan]"
    text += f"    engine: {engine}\n    {where}\n    default: drop\n    rules:\n{_yaml_rules(count)}\n"
    if engine == "nftables":
        text += "chains:\n  way: {source: a, destination: b, direction: both, functions: [fw]}\n"
    return text


def balanced(engine: str, backends: int) -> str:
    """A client, and a load balancer before ``backends`` servers."""
    names = [f"web{number}" for number in range(1, backends + 1)]
    hosts = "".join(f"  {name}: s1\n" for name in names)
    return (
        f"name: balanced\nswitches: [s1]\nhosts:\n  client: s1\n{hosts}functions:\n"
        f"  lb: {{kind: load-balancer, engine: {engine}, switch: s1, ipv4: 10.0.0.100, port: 80, "
        f"backends: [{', '.join(names)}], check: {{kind: tcp, interval: 100ms, rise: 1, fall: 1}}}}\n"
    )


def replaceable(instances: int, policy: str, order: str = "f1, f2, f3") -> str:
    """A chain of three functions that do nothing, the first with so many instances."""
    return (
        "name: changing\nswitches: [s1, s2]\nlinks: [s1 -- s2]\nhosts: {a: s1, b: s2}\nfunctions:\n"
        f"  f1: {{kind: bridge, switch: s1, instances: {instances}, on-failure: {policy}}}\n"
        "  f2: {kind: bridge, switch: s2}\n  f3: {kind: bridge, switch: s1}\n"
        f"chains:\n  way: {{source: a, destination: b, direction: both, functions: [{order}]}}\n"
    )
