"""Topology files made by rule, for the comparison of compiled tables: a number in, a file's text out.

Only ``Random.random()`` is asked, which Python promises to give the same numbers for a seed for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
Part = dict[str, Any]


class Dice:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def number(self, low: int, high: int) -> int:
        """One of ``low`` .. ``high``, both included."""
        return low + int(self._random() * (high - low + 1))

    def one(self, some: Sequence[T]) -> T:
        return some[self.number(0, len(some) - 1)]

    def chance(self, share: float) -> bool:
        return self._random() < share


def topology_file(seed: int) -> str:
    """A lab of up to three domains and four networks; every second one has functions and chains."""
    dice = Dice(seed)
    domains = [f"d{n}" for n in range(1, dice.number(1, 3) + 1)]
    # every domain has a switch; each further switch is linked to one of its domain
    homes = domains + [dice.one(domains) for _ in range(dice.number(1, 4))]
    switches = {f"s{n}": {"domain": home} for n, home in enumerate(homes, 1)}
    links = []
    for number, (name, switch) in enumerate(switches.items()):
        near = [other for other in list(switches)[:number] if switches[other] == switch]
        links += [f"{dice.one(near)} -- {name}" for _ in range(dice.number(1, 2)) if near]
    networks: dict[str, Part] = {}
    for n in range(1, dice.number(2, 4) + 1):
        families = dice.one(["4", "46", "46", "6"]) if n > 2 else "46"
        network: Part = {"subnet4": f"10.{n}.0.0/24"} if "4" in families else {}
        networks[f"n{n}"] = network | ({"subnet6": f"fd00:{n}::/64"} if "6" in families else {})
    hosts: dict[str, Part] = {}
    for n in range(1, dice.number(4, 10) + 1):
        # the first four are there for chains: two in each of the first two networks
        network_name = f"n{(n + 1) // 2}" if n <= 4 else dice.one(list(networks))
        hosts[f"h{n}"] = {"switch": dice.one(list(switches)), "network": network_name}
        if n > 4 and dice.chance(0.2):
            hosts[f"h{n}"]["allow-spoofing"] = True
    parts: Part = {"domains": domains, "networks": networks, "switches": switches, "links": links}
    parts |= {"hosts": hosts, "routers": {"r": ["n1", "n2"]}}
    if len(domains) > 1:
        parts["underlay"] = {"tunnels": dice.one(["kernel", "ovs"])}
    if seed % 2:
        parts |= _service(dice, list(switches))
    return yaml.safe_dump(parts, sort_keys=False)


def _service(dice: Dice, switches: list[str]) -> Part:
    web = {"action": "accept", "protocol": "tcp", "ports": "80,8000-8080", "log": dice.chance(0.5)}
    pings = {"action": "accept", "protocol": "icmp", "rate": "10/s"}
    rules = [web, pings, {"action": "reject", "source": "h2"}]
    backends = [{"host": "h3", "weight": dice.number(1, 3)}, "h4:8080"]
    possible: dict[str, Part] = {
        "wall": {"kind": "firewall", "instances": dice.number(1, 3), "rules": rules},
        "flows": {"kind": "firewall", "engine": "openflow", "rules": rules, "default": "accept"},
        "limit": {"kind": "rate-limiter", "bandwidth": "10mbit", "on-failure": "open"},
        "wire": {"kind": "bridge", "instances": dice.number(1, 2)},
        "ips": {"kind": "ids", "mode": "inline", "signatures": "drop icmp any any -> any any (sid:1;)"},
    }
    chosen = [name for name in possible if dice.chance(0.6)] or ["wire"]
    functions = {name: possible[name] | {"switch": dice.one(switches)} for name in chosen}
    if dice.chance(0.5):
        tap = {"kind": "ids", "switch": dice.one(switches), "mirrors": [dice.one(["n1", "h3"])]}
        functions["tap"] = tap | {"signatures": "alert icmp any any -> any any (sid:1;)"}
    if dice.chance(0.5):
        functions["ports"] = {"kind": "firewall", "engine": "openflow", "networks": ["n2"], "rules": rules}
    chains: dict[str, Part] = {}
    ways = {"encapsulation": dice.one(["auto", "vlan", "nsh"]), "symmetric": dice.chance(0.8)}
    ending = dice.one(["balancer", "haproxy", "nat", "none"])
    if ending in ("balancer", "haproxy"):
        balancer = {"kind": "load-balancer", "switch": dice.one(switches), "port": 80}
        functions["lb"] = balancer | {"ipv4": "10.2.0.200", "backends": backends}
        functions["lb"] |= {"engine": "haproxy"} if ending == "haproxy" else {"ipv6": "fd00:2::200"}
        if ending == "balancer":
            middle = [name for name in chosen if dice.chance(0.5)]
            chains["in"] = {"network": "n1", "destination": "lb", "functions": [*middle, "lb"]}
    elif ending == "nat":
        nat = {"kind": "nat", "switch": dice.one(switches), "network": "n2", "ipv4": "10.2.0.201"}
        functions["nat"] = nat | {"forwards": [{"port": 8080, "to": "h1:80"}]}
        chains["out"] = {"network": "n1", "functions": ["nat"]}
    far = dice.one(["h2", "h3"])
    web_chain = {"source": "h1", "destination": far, "protocol": "tcp", "functions": chosen, "priority": 2}
    chains["web"] = web_chain | ways
    if dice.chance(0.5):
        back = {"source": "h4", "destination": "h3", "functions": chosen[::-1], "priority": 1}
        chains["back"] = back | {"direction": "both"}
    return {"functions": functions, "chains": chains}
