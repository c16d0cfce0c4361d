"""How many pairs a lab's links connect: the exact number that a test of all pairs must reach. Pure."""

from __future__ import annotations

from itertools import permutations

from lab.messages.lab import HostState, Status


def joined_pairs(status: Status) -> int:
    """The number of ordered pairs of hosts of one network whose switches are connected by links that are up.

    A pair counts once for each address family that both hosts have.
    """
    island = {switch["name"]: switch["name"] for switch in status["switches"]}

    def root(switch: str) -> str:
        while island[switch] != switch:
            switch = island[switch]
        return switch

    def place(host: HostState) -> str:
        return root(host["switch"]) if host["switch"] else f"the wire {host['network']}"

    for link in status["links"]:
        a, b = (link[end].rpartition(":")[0] for end in ("a", "b"))
        if link["up"] and a in island and b in island:
            island[root(a)] = root(b)
    hosts = [host for host in status["hosts"] if host["up"]]
    return sum(
        _families(a, b)
        for a, b in permutations(hosts, 2)
        if a["network"] == b["network"] and place(a) == place(b)
    )


def _families(a: HostState, b: HostState) -> int:
    return bool(a["ipv4"] and b["ipv4"]) + bool(a["ipv6"] and b["ipv6"])
