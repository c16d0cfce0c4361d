"""All pairs of hosts: which the tables let ping each other, as the file wants. Pure.

A pair is proven when, by the tables: each switch answers the source's question for the target's address (or
its gateway's), and the target's for the source's; the echo request arrives at the target's port alone, with
the right fields, whatever bucket of a select group the switches choose; and so does the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

from controller.flow.tables import SwitchTables
from controller.proof.batches import Batches
from controller.proof.values import Beyond, Lost, Outcome, Outcomes
from topologies.model.host_wires import host_wires
from topologies.model.parts import part_of
from topologies.model.policy import Policy
from topologies.model.routing import Routing
from topologies.model.topology import Host, Topology
from wire.icmp import ECHO, ECHO6, ECHO_REPLY, ECHO_REPLY6

_REQUEST, _ANSWER = {4: ECHO, 6: ECHO6}, {4: ECHO_REPLY, 6: ECHO_REPLY6}
FAMILIES = (4, 6)


class Unproven(NamedTuple):
    """A pair that the tables don't let ping as the file wants; ``reason`` in words."""

    src: str
    dst: str
    family: int
    reason: str


@dataclass
class Proof:
    """``proven``: address family -> so many pairs. ``apart``: so many pairs in parts that no link joins, and
    nothing gets from one to the other. ``wrong``: those of which the tables are wrong. ``left``: pairs of
    which this computation can't tell everything; ``why``: the reasons, with how many pairs have them."""

    proven: dict[int, int] = field(default_factory=dict)
    apart: int = 0
    wrong: list[Unproven] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    why: dict[str, int] = field(default_factory=dict)


Pair = tuple[int, int]
"""The numbers of source and target."""
_Problems = dict[Pair, dict[int, list[tuple[str, Outcome]]]]
"""By pair and family: what is asked or sent, and what becomes of it. ``""``: the request itself."""


def prove(
    topology: Topology, tables: Mapping[str, SwitchTables], down: frozenset[str] = frozenset()
) -> tuple[Proof, Batches]:
    """Prove all pairs of hosts that a network or a router joins. Two interfaces of one host are no pair: what
    it sends to itself crosses no wire.

    ``tables``: those of the switches that are the controller's; ``down``: the names of links that are down.
    """
    batches = Batches(topology, tables, down)
    return _verdicts(topology, batches, _problems(batches)), batches


def _problems(batches: Batches) -> _Problems:
    """All that goes otherwise than it should if nothing forbade it."""
    problems: _Problems = {}
    bad: dict[int, list[tuple[int, Outcome]]] = {}

    def of(outcomes: Outcomes) -> list[tuple[int, Outcome]]:
        # ``outcomes`` are kept as long as the batches are
        known = bad.get(id(outcomes))
        if known is None:
            known = bad[id(outcomes)] = [(n, o) for n, o in outcomes.items() if o is not None]
        return known

    def note(pair: Pair, family: int, what: str, outcome: Outcome) -> None:
        if batches.hosts[pair[0]].node != batches.hosts[pair[1]].node:
            problems.setdefault(pair, {}).setdefault(family, []).append((what, outcome))

    count = len(batches.hosts)
    for number, host in enumerate(batches.hosts):
        for family in FAMILIES:
            if (host.ipv4 if family == 4 else host.ipv6) is None:
                continue
            questions = batches.questions(host.network, family)
            if questions is not None:
                question = "ARP" if family == 4 else "neighbour discovery"
                gateway = batches.gateway.get(host.network)
                for target, outcome in of(batches.send(number, questions)):
                    what = f"{question} for {batches.ends[target].name} at {host.name}"
                    others = [target] if target < count else []
                    if target == gateway:
                        others = batches.led_to[host.network]
                    for other in others:
                        note((number, other), family, what, outcome)
                        note((other, number), family, what, outcome)
            for routed in (False, True):
                pings = batches.pings(host.network, family, routed)
                if pings is None:
                    continue
                for target, outcome in of(batches.send(number, pings, _REQUEST[family])):
                    note((number, target), family, "", outcome)
                for target, outcome in of(batches.send(number, pings, _ANSWER[family])):
                    note((target, number), family, "the answer", outcome)
    return problems


class _Judge:
    """Compares what the tables do with what the file wants."""

    def __init__(self, topology: Topology, batches: Batches, problems: _Problems) -> None:
        self._hosts, self._problems = batches.hosts, problems
        self.policy = Policy(topology)
        self._part = part_of(topology)
        self.parted = len({self._part[host.at.switch] for host in batches.hosts}) > 1
        self.proof = Proof()

    def pair(self, pair: Pair, families: tuple[int, ...]) -> None:
        """Note the verdict on one pair, which has addresses of these families."""
        src, dst = self._hosts[pair[0]], self._hosts[pair[1]]
        problems = self._problems.get(pair, {})
        if self._part[src.at.switch] != self._part[dst.at.switch]:
            self._apart(src, dst, problems, families)
            return
        expected = [self.policy.ping(src, dst, f) for f in families] if self.policy.rules else []
        if any(one.allowed is not True or one.there or one.back for one in expected):
            self._leave(src, dst, "functions decide on it, or pass it on")
        elif any(not isinstance(o, Beyond) for some in problems.values() for _, o in some):
            for family in families:
                self._refute(src, dst, family, problems.get(family, []))
        elif problems:
            self._leave(src, dst, next(iter(problems.values()))[0][1])
        elif not families:
            self._leave(src, dst, "they have no address family in common")
        else:
            for family in families:
                self.proof.proven[family] = self.proof.proven.get(family, 0) + 1

    def _apart(
        self,
        src: Host,
        dst: Host,
        problems: Mapping[int, list[tuple[str, Outcome]]],
        families: tuple[int, ...],
    ) -> None:
        for family in families:
            of_request = [outcome for what, outcome in problems.get(family, []) if not what]
            if of_request and isinstance(of_request[0], Lost):
                self.proof.apart += 1
            else:
                reason = of_request[0] if of_request else "it arrives"
                text = f"no link joins {src.at.switch} and {dst.at.switch}, but {reason}"
                self.proof.wrong.append(Unproven(src.name, dst.name, family, text))

    def _leave(self, src: Host, dst: Host, why: str) -> None:
        self.leave(src.name, dst.name, why)

    def leave(self, src: str, dst: str, why: str) -> None:
        """Leave a pair to packets."""
        self.proof.left.append((src, dst))
        self.proof.why[why] = self.proof.why.get(why, 0) + 1

    def _refute(self, src: Host, dst: Host, family: int, problems: list[tuple[str, Outcome]]) -> None:
        if problems:
            what, outcome = min(problems, key=lambda problem: isinstance(problem[1], Beyond))
            text = f"{what}: {outcome}" if what else str(outcome)
            self.proof.wrong.append(Unproven(src.name, dst.name, family, text))
        else:
            self.proof.proven[family] = self.proof.proven.get(family, 0) + 1


def _verdicts(topology: Topology, batches: Batches, problems: _Problems) -> Proof:
    judge = _Judge(topology, batches, problems)
    one_by_one = judge.policy.rules or judge.parted
    families = [
        tuple(f for f, has in ((4, host.ipv4), (6, host.ipv6)) if has is not None) for host in batches.hosts
    ]
    for network, numbers in batches.hosts_of.items():
        others = batches.led_to.get(network, [])
        alike = len({families[number] for number in (*numbers, *others)}) == 1
        if one_by_one or not alike:
            for source in numbers:
                for target in (*numbers, *others):
                    if batches.hosts[source].node == batches.hosts[target].node:
                        continue
                    common = tuple(f for f in families[source] if f in families[target])
                    if common or target not in others:
                        judge.pair((source, target), common)
            continue
        at_home = Counter(batches.hosts[number].node for number in (*numbers, *others))
        here = sum(len(numbers) + len(others) - at_home[batches.hosts[number].node] for number in numbers)
        there = set(others)
        listed = [
            pair
            for pair in problems
            if batches.hosts[pair[0]].network == network
            and (batches.hosts[pair[1]].network == network or pair[1] in there)
        ]
        for family in families[numbers[0]]:
            judge.proof.proven[family] = judge.proof.proven.get(family, 0) + here - len(listed)
        for pair in listed:
            judge.pair(pair, families[pair[0]])
    for wire in host_wires(topology):
        if (wire.a.ipv4 and wire.b.ipv4) or (wire.a.ipv6 and wire.b.ipv6):
            for one, other in permutations((wire.a.name, wire.b.name)):
                judge.leave(one, other, "a wire joins them, and no switch")
    for src, dst in Routing(topology).ways:
        judge.leave(src, dst, "a host forwards them")
    return judge.proof


_TRIED = 64
"""Hosts to which a host is tried to be found a proven pair."""


def ring(topology: Topology, batches: Batches, proof: Proof) -> list[tuple[str, str]]:
    """Proven pairs, of which every host is the source of one and, as a rule, the target of one."""
    bad = {(src, dst) for src, dst, *_ in proof.wrong} | set(proof.left)
    part = part_of(topology)
    pairs: list[tuple[str, str]] = []
    groups: dict[tuple[str, int], list[int]] = {}
    hosts = batches.hosts
    for number, host in enumerate(hosts):
        groups.setdefault((host.network, part[host.at.switch]), []).append(number)
    for (network, island), numbers in groups.items():
        further = [n for n in batches.led_to.get(network, ()) if part[hosts[n].at.switch] == island]
        for place, number in enumerate(numbers):
            others = [*numbers[place + 1 :], *numbers[:place]][:_TRIED] + further[:_TRIED]
            for other in others:
                pair = hosts[number].name, hosts[other].name
                if hosts[number].node == hosts[other].node:
                    continue
                common = any(batches.has(number, f) and batches.has(other, f) for f in FAMILIES)
                if pair not in bad and common:
                    pairs.append(pair)
                    break
    return pairs
