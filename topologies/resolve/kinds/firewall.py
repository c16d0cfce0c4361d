"""The rules of a firewall: names become prefixes, and rules that match no packet are reported. Pure."""

from __future__ import annotations

from typing import Literal, cast

from topologies.model.functions import UDP_TIMEOUT, Firewall, PortRanges, Prefixes, Protocol, Rule
from topologies.resolve.address_book import Book, families, prefixes
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.service_specification import FunctionSpec, RuleSpec

MOST_RULES = 20_000
WITH_PORTS = ("tcp", "udp", "sctp")
Verdict = Literal["accept", "drop", "reject"]


def firewall(name: str, spec: FunctionSpec, book: Book, report: Report) -> Firewall:
    """The rules of function ``name``."""
    base: Path = ("functions", name)
    own = {
        group: ((*base, "groups", group), texts or ()) for group, texts in sorted((spec.groups or {}).items())
    }
    for group in own:
        if group in book.groups:
            line = report.locate(book.groups[group].path)
            what = f"the file has a group {group} for all functions already (line {line})"
            report.add((*base, "groups", group), what, remedy="rename one")
    book = book.with_groups({group: own[group] for group in own if group not in book.groups}, report)
    if len(spec.rules or ()) > MOST_RULES:
        report.add((*base, "rules"), "there are too many rules", f"up to {MOST_RULES}")
        return Firewall(rules=())
    rules: list[Rule] = []
    taken: dict[str, int] = {}
    for index, rule in enumerate(spec.rules or ()):
        path = (*base, "rules", index)
        if rule.name is not None:
            if rule.name in taken:
                line = report.locate((*base, "rules", taken[rule.name]))
                what = f"{shown(rule.name)} is the name of another rule (line {line})"
                report.add((*path, "name"), what, remedy="rename one")
            taken[rule.name] = index
        resolved = _rule(path, rule.name or f"rule-{index + 1}", rule, book, report)
        if resolved is not None:
            rules.append(resolved)
    default = cast(Verdict, spec.default or "drop")
    return Firewall(rules=tuple(rules), default=default, udp_timeout=spec.udp_timeout or UDP_TIMEOUT)


def _rule(path: Path, name: str, spec: RuleSpec, book: Book, report: Report) -> Rule | None:
    if spec.action is None:
        report.add(
            (*path, "action"), "the rule has no action", "accept, drop, reject", "write action: accept"
        )
        return None
    if spec.rate is not None and spec.action != "accept":
        what = f"only rules that accept can have a rate, and the action of this one is {spec.action}"
        report.add((*path, "rate"), what, remedy="remove the rate, or accept")
    source, destination = (
        prefixes(book.items((*path, key), texts, report))
        for key, texts in (("source", spec.source), ("destination", spec.destination))
    )
    ranges = {"source-ports": spec.source_ports or (), "ports": spec.ports or ()}
    if not can_match(path, source, destination, spec.protocol, ranges, report):
        return None
    if (spec.source is not None and not source) or (spec.destination is not None and not destination):
        empty = "source" if spec.source is not None and not source else "destination"
        texts = spec.source if empty == "source" else spec.destination
        if texts is not None and not texts:
            report.add((*path, empty), "is empty", remedy="leave it out to mean any address")
        return None
    return Rule(
        name=name,
        action=cast(Verdict, spec.action),
        source=source,
        destination=destination,
        protocol=cast("Protocol | None", spec.protocol),
        source_ports=spec.source_ports or (),
        destination_ports=spec.ports or (),
        log=bool(spec.log),
        rate=spec.rate,
    )


def can_match(
    path: Path,
    source: Prefixes,
    destination: Prefixes,
    protocol: str | None,
    ports: dict[str, PortRanges],
    report: Report,
) -> bool:
    """Whether any packet has these addresses, protocol and ports. If not, it is reported."""
    for key, some in ports.items():
        if some and protocol not in WITH_PORTS:
            what = f"{protocol} has no ports" if protocol else "ports without a protocol"
            report.add((*path, key), what, f"with protocol {', '.join(WITH_PORTS)}", "write protocol: tcp")
            return False
    sides = families(source) & families(destination)
    if not sides:
        what = f"no packet goes from IPv{_only_family(source)} to IPv{_only_family(destination)} addresses"
        report.add((*path, "destination"), what, remedy="name addresses of one family on both sides")
        return False
    wanted = {"icmp": 4, "icmpv6": 6}.get(protocol or "")
    if wanted is not None and wanted not in sides:
        other = "icmpv6" if wanted == 4 else "icmp"
        what = f"{protocol} goes over IPv{wanted}, the addresses are IPv{10 - wanted}"
        report.add((*path, "protocol"), what, remedy=f"write protocol: {other}")
        return False
    return True


def _only_family(some: Prefixes) -> int:
    return min(families(some))
