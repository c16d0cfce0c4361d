"""The checks of a file: names of hosts looked up, and what is left out filled in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from topologies.model.checks import WITHIN, Check, Side, check_of
from topologies.model.endpoints import endpoints
from topologies.model.topology import Topology
from topologies.syntax.checks_specification import (
    SHELL,
    VERBS,
    BetweenSpec,
    BlockedSpec,
    CheckSpec,
    CommandSpec,
    IsolatedSpec,
    TcpSpec,
    WithProtocol,
)
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File

MOST_CHECKS = 5000
MOST_PAIRS = 100_000
"""Of all checks of a file together."""
LONGEST = 100
"""Characters of a name."""
ALL = "all"
"""The name of the group of all hosts."""

_FAMILIES = {"ipv4": 4, "ipv6": 6}
_HOSTS = "a host, network or group of this file, or `all`"


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
        allowed = _HOSTS + (", a load balancer or NAT" if functions else "")
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
    return {"source": source, "destination": destination, "family": _FAMILIES.get(keys.family or "")}


def with_protocol(path: Path, keys: WithProtocol, context: Context) -> dict[str, Any] | None:
    """The fields of a check of pings, connections or datagrams."""
    fields = between(path, keys, context)
    if keys.tcp is not None and keys.udp is not None:
        context.report.add(path, "has tcp and udp", "one of them", "write two checks")
        return None
    protocol = "tcp" if keys.tcp is not None else "udp" if keys.udp is not None else "icmp"
    return fields and {**fields, "protocol": protocol, "port": keys.tcp or keys.udp}


def _blocked(path: Path, keys: BlockedSpec, context: Context) -> dict[str, Any] | None:
    if keys.how == "reset" and keys.tcp is None:
        context.report.add((*path, "how"), "only TCP has resets", "drop or icmp", "name a port of tcp")
        return None
    fields = with_protocol(path, keys, context)
    return fields and {**fields, "how": keys.how}


def _tcp(path: Path, keys: TcpSpec, context: Context) -> dict[str, Any] | None:
    fields = between(path, keys, context)
    if keys.port is None:
        context.report.add((*path, "port"), "is missing", "1 to 65535", "name the port that is asked")
        return None
    return fields and {**fields, "port": keys.port, "result": keys.result or "connects"}


def _isolated(path: Path, keys: IsolatedSpec, context: Context) -> dict[str, Any] | None:
    where = (*path, "between")
    if keys.between is None or len(keys.between) < 2:
        context.report.add(where, "needs two sides", _HOSTS, "write isolated: [red, blue]")
        return None
    sides = [context.side(where, (text,)) for text in keys.between]
    named = [side for side in sides if side is not None]
    if len(named) < len(sides):
        return None
    on: dict[str, str] = {}
    for side in named:
        for host in side.names:
            if on.setdefault(host, side.words) != side.words or named.count(side) > 1:
                what = f"{host} is on two sides, {on[host]} and {side.words}"
                context.report.add(where, what, remedy="no host can be isolated from itself")
                return None
    return {"sides": tuple(named), "family": _FAMILIES.get(keys.family or "")}


def _command(path: Path, keys: CommandSpec, context: Context) -> dict[str, Any] | None:
    hosts = context.side((*path, "host"), keys.host)
    if not keys.run or not keys.run[-1 if keys.run[:-1] == SHELL else 0].strip():
        context.report.add((*path, "run"), "is missing", "a line for /bin/sh, or a list", "write run: true")
        return None
    if any("\0" in word for word in keys.run):
        context.report.add((*path, "run"), "has a NUL character", remedy="remove it")
        return None
    line = keys.run[-1] if keys.run[:-1] == SHELL else " ".join(keys.run)
    fields = {"words": keys.run, "line": line if len(line) <= 60 else f"{line[:59]}…"}
    if hosts is None:
        return None
    return {"hosts": hosts, **fields, "exit": keys.exit or 0, "output": keys.output or ""}


RESOLUTIONS: dict[str, Resolve] = {
    "reachable": with_protocol,
    "blocked": _blocked,
    "tcp": _tcp,
    "isolated": _isolated,
    "command": _command,
}
"""Verb -> how the keys of the file become the fields of its class. A registry: see
``topologies.model.checks``."""


def checks(spec: File, topology: Topology, report: Report) -> tuple[Check, ...]:
    """The checks of the file, in its order. ``topology``: the lab, resolved but for them."""
    entries = spec.checks or []
    if len(entries) > MOST_CHECKS:
        report.add(("checks",), f"there are {len(entries)} checks", f"up to {MOST_CHECKS}", "name groups")
        return ()
    context = Context(topology, {name: texts or () for name, texts in (spec.groups or {}).items()}, report)
    resolved: list[Check] = []
    taken: dict[str, int] = {}
    left = MOST_PAIRS
    for index, entry in enumerate(entries):
        path: Path = ("checks", index)
        check = None if entry is None else check_at(path, entry, context)
        if check is None:
            continue
        left -= check.size
        if left < 0:
            report.add(path, "all checks together try too many pairs", f"up to {MOST_PAIRS}", "name fewer")
            return ()
        if entry.name is not None and check.name in taken:
            line = report.locate(("checks", taken[check.name]))
            what = f"{shown(check.name)} is also the name of the check of line {line}"
            report.add((*path, "name"), what, remedy="rename one")
        resolved.append(check)
        taken.setdefault(check.name, index)
    return _named_apart(resolved)


def check_at(path: Path, entry: CheckSpec, context: Context, among: Sequence[str] = ()) -> Check | None:
    """The check of the entry at ``path``; None, with problems, when it has none. ``among``: the verbs that it
    may have; empty: all."""
    report = context.report
    stated = entry.verbs()
    if not stated and any(broken[:2] == path[:2] for broken in report.broken):
        return None  # its verb is what could not be read
    if not stated or len(stated) > 1:
        what = f"has {len(stated)} verbs: {', '.join(stated)}" if stated else "has no verb"
        report.add(path, what, f"one of {', '.join(among or VERBS)}", "write one entry for each check")
        return None
    ((verb, keys),) = stated.items()
    where = (*path, verb)
    if report.is_broken(where):
        return None
    if among and verb not in among:
        report.add(where, f"{verb} can't stand here", ", ".join(among))
        return None
    _check_text((*path, "name"), entry.name, LONGEST, report)
    _check_text((*path, "hint"), entry.hint, 10 * LONGEST, report)
    fields = RESOLUTIONS[verb](where, keys, context)
    if fields is None:
        return None
    within = WITHIN if entry.within is None else entry.within / 1_000_000
    check = check_of(verb=verb, hint=entry.hint or "", within=within, **fields)
    if check.size == 0:
        report.add(
            where, "it would check nothing: there is no pair of two different hosts", remedy="name two"
        )
        return None
    name = entry.name if entry.name else check.expected
    return check.model_copy(update={"name": name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"})


def _check_text(path: Path, text: str | None, most: int, report: Report) -> None:
    if text is not None and (not text.strip() or len(text) > most or not text.isprintable()):
        report.add(path, f"{shown(text)} can't be shown on a line", f"1 to {most} printable characters")


def _named_apart(resolved: Sequence[Check]) -> tuple[Check, ...]:
    """The checks with names that differ."""
    taken: dict[str, int] = {}
    apart = []
    for check in resolved:
        name = check.name
        taken[check.name] = taken.get(check.name, 0) + 1
        while taken[check.name] > 1 and (name := f"{check.name} #{taken[check.name]}") in taken:
            taken[check.name] += 1
        taken.setdefault(name, 1)
        apart.append(check if name == check.name else check.model_copy(update={"name": name}))
    return tuple(apart)
