"""What the resolutions of all verbs of checks use: names of hosts looked up. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from topologies.model.check import Side
from topologies.model.choices import OWN_KERNEL
from topologies.model.endpoints import endpoints
from topologies.model.topology import Topology
from topologies.syntax.check_entry import SHELL, BetweenSpec, WithProtocol
from topologies.syntax.problem import Path, Report, shown

ALL = "all"
"""The name of the group of all hosts."""
FAMILIES = {"ipv4": 4, "ipv6": 6}
HOSTS = "a host, network or group of this file, or `all`"


@dataclass
class Context:
    """What resolutions of verbs need: the lab, and where problems go."""

    topology: Topology
    groups: Mapping[str, Sequence[str | None]]
    report: Report
    _members: dict[tuple[str, bool], tuple[str, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hosts = {host.name: host for host in self.topology.hosts}
        self.networks = {network.name for network in self.topology.networks}
        self.served = [e for e in endpoints(self.topology) if e.kind not in ("host", "router")]

    def side(self, path: Path, texts: Sequence[str] | None, functions: bool = False) -> Side | None:
        """The side that the list at ``path`` names; None, with a problem, when it names none.

        ``functions``: whether it may name functions that have addresses.
        """
        allowed = HOSTS + (", a load balancer or NAT" if functions else "")
        if texts is None:
            self.report.add(path, "is missing", allowed, f"write {path[-1]}: all")
            return None
        if not texts:
            self.report.add(path, "is empty", allowed, "name one")
            return None
        members: dict[str, None] = {}
        for text in texts:
            some = self._of(text, functions)
            if some is None:
                known = [*self.hosts, *self.networks, *self.groups, ALL]
                known += [e.name for e in self.served] if functions else []
                remedy = self.report.suggest(text, known, "define it, or change the name")
                self.report.add(path, f"{shown(text)} is no name of hosts", allowed, remedy)
                return None
            if not some:
                self.report.add(path, f"no host is in {shown(text)}", allowed, "it would check nothing")
                return None
            members |= dict.fromkeys(some)
        return Side(words=", ".join(texts), names=tuple(members))

    def _of(self, text: str, functions: bool) -> tuple[str, ...] | None:
        key = (text, functions)
        if key not in self._members:
            self._members[key] = self._look_up(text, functions, ())
        return self._members[key]

    def _look_up(self, text: str, functions: bool, inside: tuple[str, ...]) -> tuple[str, ...] | None:
        if text in self.groups and text not in inside:
            members: dict[str, None] = {}
            for entry in self.groups[text]:
                if entry is not None:
                    some = self._look_up(entry, functions, (*inside, text))
                    members |= dict.fromkeys(some or ())
            return tuple(members)
        if text in self.hosts:
            return (text,)
        if text in self.networks:
            return tuple(name for name, host in self.hosts.items() if host.network == text)
        if functions and any(endpoint.name == text for endpoint in self.served):
            return (text,)
        if text == ALL:
            return tuple(self.hosts)
        prefix = _prefix(text)
        if prefix is None:
            return None
        own = [(host.name, (host.ipv4, host.ipv6)) for host in self.hosts.values()]
        own += [(e.name, (e.ipv4, e.ipv6)) for e in self.served] if functions else []
        return tuple(n for n, both in own if any(a is not None and a.ip in prefix for a in both))

    def with_stacks(self, path: Path, side: Side) -> bool:
        """Whether the lab can open sockets of its own in the hosts of a side. A problem is reported."""
        machines = [name for name in side.names if name in self.hosts and self.hosts[name].kind in OWN_KERNEL]
        if machines:
            what = f"{machines[0]} is a virtual machine: the lab has no sockets in it"
            self.report.add(path, what, "hosts of other kinds", "write a check of verb command")
        return not machines


def _prefix(text: str) -> IPv4Network | IPv6Network | None:
    if not set(text) & set(".:"):
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


Resolve = Callable[[Path, Any, Context], "dict[str, Any] | None"]
"""From a verb's keys at a path to the fields of its class; None, with problems, if there are none."""


def between(path: Path, keys: BetweenSpec, context: Context) -> dict[str, Any] | None:
    """The fields of ``topologies.model.checks.Between``."""
    source = context.side((*path, "from"), keys.source)
    destination = context.side((*path, "to"), keys.to, functions=True)
    if source is None or destination is None:
        return None
    return {"source": source, "destination": destination, "family": FAMILIES.get(keys.family or "")}


def with_protocol(path: Path, keys: WithProtocol, context: Context) -> dict[str, Any] | None:
    """The fields of a check of pings, connections or datagrams."""
    fields = between(path, keys, context)
    if keys.tcp is not None and keys.udp is not None:
        context.report.add(path, "has tcp and udp", "one of them", "write two checks")
        return None
    protocol = "tcp" if keys.tcp is not None else "udp" if keys.udp is not None else "icmp"
    return fields and {**fields, "protocol": protocol, "port": keys.tcp or keys.udp}


def command(
    path: Path, host: Sequence[str] | None, run: tuple[str, ...] | None, context: Context
) -> dict[str, Any] | None:
    """The fields ``hosts``, ``words`` and ``line`` of a check that runs a command."""
    hosts = context.side((*path, "host"), host)
    if not run or not run[-1 if run[:-1] == SHELL else 0].strip():
        context.report.add((*path, "run"), "is missing", "a line for /bin/sh, or a list", "write run: true")
        return None
    if any("\0" in word for word in run):
        context.report.add((*path, "run"), "has a NUL character", remedy="remove it")
        return None
    line = run[-1] if run[:-1] == SHELL else " ".join(run)
    line = line if len(line) <= 60 else f"{line[:59]}…"
    return None if hosts is None else {"hosts": hosts, "words": run, "line": line}
