"""Rules of firewalls that decide about nothing: hidden by earlier rules, or without effect. Pure.

The classification is that of Al-Shaer and Hamed (Modeling and Management of Firewall Policies, 2004):
shadowed (and contradictory), and redundant. A rule is compared with all earlier rules together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from controller.verify.report import RULES, Finding
from topologies.model.functions import Firewall, PortRanges, Prefixes, Rule
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Places, part
from topologies.model.topology import Topology
from wire.protocol import NUMBERS

Range = tuple[int, int]
Box = tuple[Range, ...]
"""Of packets: family, protocol, source, destination, source port, destination port; all inclusive."""
_PORTS = (0, 0xFFFF)


def check_rules(topology: Topology) -> Iterator[Finding]:
    """What is wrong with the rules of all firewalls."""
    for function in topology.functions:
        if isinstance(function, FirewallFunction):
            yield from _of_firewall(function.name, function.firewall, topology.places)


def _of_firewall(name: str, firewall: Firewall, places: Places) -> Iterator[Finding]:
    regions = [list(_boxes(rule)) for rule in firewall.rules]
    for number, rule in enumerate(firewall.rules):
        left = regions[number]
        hiding: list[Rule] = []
        for earlier, region in zip(firewall.rules[:number], regions, strict=False):
            fewer = _minus(left, region)
            if fewer != left:
                hiding.append(earlier)
            left = fewer
            if not left:
                break
        entity = part("rule", name, rule.name)
        if not left:
            others = ", ".join(_rule_text(name, other, places) for other in hiding)
            contradicts = any(other.action != rule.action for other in hiding)
            several = len(hiding) > 1
            take = "take" if several else "takes"
            same = "do the same" if several else "does the same"
            said = ("contradict it" if several else "contradicts it") if contradicts else same
            what = (
                f"firewall {name}: rule {rule.name} ({rule.action}) decides about nothing: {others} {take} "
                f"all of its packets before, and {said}"
            )
            yield Finding(RULES, what, "each rule decides about some packet", entity, warning=not contradicts)
        elif not rule.log and rule.rate is None and _changes_nothing(firewall, regions, number, left):
            what = (
                f"firewall {name}: rule {rule.name} ({rule.action}) changes nothing: without it, later rules "
                "or the default do the same"
            )
            yield Finding(RULES, what, "each rule changes something", entity, warning=True)


def _rule_text(function: str, rule: Rule, places: Places) -> str:
    place = places.of(part("rule", function, rule.name))
    where = "" if place is None else f", line {place.line}"
    return f"rule {rule.name} ({rule.action}{where})"


def _changes_nothing(firewall: Firewall, regions: list[list[Box]], number: int, left: list[Box]) -> bool:
    action = firewall.rules[number].action
    for later in range(number + 1, len(regions)):
        fewer = _minus(left, regions[later])
        rule = firewall.rules[later]
        if fewer != left and (rule.action != action or rule.log or rule.rate is not None):
            return False
        left = fewer
    return not left or firewall.default == action


def _boxes(rule: Rule) -> Iterator[Box]:
    """The packets that a rule matches."""
    stated = {prefix.version for prefix in (*rule.source, *rule.destination)}
    if rule.protocol in ("icmp", "icmpv6"):
        stated.add(4 if rule.protocol == "icmp" else 6)
    for family in sorted(stated) or (4, 6):
        protocol = (0, 255) if rule.protocol is None else (NUMBERS[rule.protocol], NUMBERS[rule.protocol])
        parts = product(
            _addresses(rule.source, family),
            _addresses(rule.destination, family),
            _ports(rule.source_ports),
            _ports(rule.destination_ports),
        )
        for box in parts:
            yield ((family, family), protocol, *box)


def _addresses(prefixes: Prefixes, family: int) -> list[Range]:
    if not prefixes:
        return [(0, (1 << (32 if family == 4 else 128)) - 1)]
    return [
        (int(prefix.network_address), int(prefix.broadcast_address))
        for prefix in prefixes
        if prefix.version == family
    ]


def _ports(ranges: PortRanges) -> list[Range]:
    return list(ranges) or [_PORTS]


def _minus(boxes: Iterable[Box], others: Iterable[Box]) -> list[Box]:
    """What of some boxes is in none of the others."""
    left = list(boxes)
    for other in others:
        left = [rest for box in left for rest in _cut(box, other)]
    return left


def _cut(box: Box, other: Box) -> list[Box]:
    """A box without another one, as boxes that don't overlap."""
    if any(high < low2 or high2 < low for (low, high), (low2, high2) in zip(box, other, strict=True)):
        return [box]
    rest = []
    for side, ((low, high), (low2, high2)) in enumerate(zip(box, other, strict=True)):
        for range_ in ((low, low2 - 1), (high2 + 1, high)):
            if range_[0] <= range_[1]:
                rest.append((*box[:side], range_, *box[side + 1 :]))
        box = (*box[:side], (max(low, low2), min(high, high2)), *box[side + 1 :])
    return rest
