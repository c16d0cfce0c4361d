"""``reachable``, ``blocked``, ``tcp`` and ``isolated``: what to send, and what the outcome means. Pure.

Silence alone proves nothing: nobody answers in a broken lab, either. So what is expected to be silent has
controls, which show that the source's frames leave and that something arrives at the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from lab.checks.explaining import Explain, Explained
from lab.checks.judgement import MOST_FINDINGS, Judgement, finding, judged
from lab.checks.probes import Outcome, Probe, Signs, Sort
from lab.checks.ways import Ways
from lab.messages.checks import Finding
from topologies.model.checks import Between, Blocked, Check, Isolated, Protocol, Reachable, Tcp
from topologies.model.functions import Chain, Rule
from topologies.model.kinds import FirewallFunction
from topologies.model.topology import Topology

_CONTROLS, _CANDIDATES = 3, 30
_CONTROL_WITHIN = 1.0
MOST_WITH_PORTS, MOST_PORTS = 1000, 4
"""Most pairs between which ``isolated`` tries connections and datagrams, and ports that the file names."""


class Aim(NamedTuple):
    """Where a probe goes. ``host``: whether its target is a host. ``at``: the hosts at which it arrives, of a
    function those to which it may send it on."""

    source: str
    host: bool
    at: frozenset[str]

    def hit(self, outcome: Outcome) -> bool:
        """Whether the request arrived there."""
        return not self.at.isdisjoint(outcome.arrived)


Wants = Callable[[Aim, Outcome], bool]


def plan(check: Check, ways: Ways) -> list[Probe]:
    """The probes of a check."""
    match check:
        case Reachable():
            return list(_probes(check, ways, check.protocol, check.port or 0, _reached))
        case Blocked():
            blocks = _stopped(check.how)
            return list(_probes(check, ways, check.protocol, check.port or 0, blocks, resolve=False))
        case Tcp():
            return list(_probes(check, ways, "tcp", check.port, _became(check.result)))
        case Isolated():
            return list(_isolating(check, ways))
    raise TypeError(f"a check of {check.verb} has no probes")


def judge(
    check: Check,
    probes: Sequence[Probe],
    outcomes: Sequence[Outcome],
    signs: Signs,
    ways: Ways,
    explain: Explain = lambda probe, outcome: Explained(),
) -> Judgement:
    """The judgement about a check whose probes had these outcomes. ``explain`` is asked about those that are
    not as expected."""
    findings: list[Finding] = []
    errors = 0
    if not probes:
        words = "no two of these hosts have an address of the same family"
        return Judgement("error", 0, (finding(check.expected, words),))
    silent = isinstance(check, (Blocked, Isolated)) or (isinstance(check, Tcp) and check.result == "timeout")
    for probe, outcome in zip(probes, outcomes, strict=True):
        if outcome.error:
            errors += 1
            findings.append(finding(probe.words, f"it could not be tried: {outcome.error}"))
        elif not outcome.satisfied:
            why = explain(probe, outcome) if len(findings) < MOST_FINDINGS else Explained()
            findings.append(finding(probe.words, seen(probe, outcome, ways), outcome.packets, *why))
        elif silent and _quiet(probe, outcome, ways) and (doubt := unproven(probe, signs, ways)):
            errors += 1
            words = f"nothing, but that proves nothing: {doubt}"
            findings.append(finding(probe.words, words))
    return judged(findings, len(probes), errors)


def _probes(
    check: Between | Isolated,
    ways: Ways,
    protocol: Protocol,
    port: int,
    wants: Wants,
    resolve: bool = True,
) -> Iterator[Probe]:
    for source, target in check.pairs():
        if source not in ways.hosts or ways.same(source, target):
            continue
        aim = Aim(source, target in ways.hosts, ways.arrives_at(target))
        for family in ways.families(source, target):
            if check.family in (None, family):
                takes = partial(wants, aim)
                yield Probe(source, target, family, protocol, port, check.within, takes, resolve)


def _isolating(check: Isolated, ways: Ways) -> Iterator[Probe]:
    """Frames of all sorts: pings between all pairs, then connections and datagrams, and from each host to
    each other side what a switch may flood."""
    apart = _apart(check)
    yield from _probes(check, ways, "icmp", 0, apart, resolve=False)
    pairs = list(check.pairs())
    if len(pairs) > MOST_WITH_PORTS:  # each host to one of each other side, those spread
        pairs = [
            (source, other.names[number % len(other.names)])
            for side in check.sides
            for other in check.sides
            if other is not side
            for number, source in enumerate(side.names)
        ]
    transports: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
    ports = [(protocol, port) for protocol in transports for port in known_ports(ways.topology, protocol)]
    for source, target in pairs:
        for family in _families(check, ways, source, target):
            for protocol, port in ports:
                takes = partial(apart, Aim(source, True, ways.arrives_at(target)))
                yield Probe(source, target, family, protocol, port, check.within, takes, False)
    sorts: tuple[Sort, ...] = ("ARP broadcast", "broadcast", "unknown MAC")
    for side in check.sides:
        for other in check.sides:
            for source in side.names if other is not side else ():
                target = next((name for name in other.names if name != source), "")
                for family in _families(check, ways, source, target):
                    for sort in sorts if family == 4 else sorts[1:]:
                        takes = partial(apart, Aim(source, True, ways.arrives_at(target)))
                        yield Probe(source, target, family, "icmp", 0, check.within, takes, False, sort)


def _families(check: Isolated, ways: Ways, source: str, target: str) -> list[int]:
    if source not in ways.hosts or target not in ways.hosts:
        return []
    return [family for family in ways.families(source, target) if check.family in (None, family)]


def known_ports(topology: Topology, protocol: Literal["tcp", "udp"]) -> list[int]:
    """Ports to which connections or datagrams may get through: a usual one, and the first that rules and
    chains of the file name."""
    rules = [rule for f in topology.functions if isinstance(f, FirewallFunction) for rule in f.firewall.rules]
    entries: list[Rule | Chain] = [*rules, *topology.chains]
    named = {
        low for entry in entries if entry.protocol in (None, protocol) for low, _ in entry.destination_ports
    }
    return sorted({80 if protocol == "tcp" else 53, *sorted(named)[:MOST_PORTS]})


def _reached(aim: Aim, outcome: Outcome) -> bool:
    """It arrived and was answered."""
    if outcome.answer is None:
        return False
    if not aim.host:
        return outcome.answer.kind in ("reply", "syn-ack")
    return aim.hit(outcome)


def _stopped(how: str | None) -> Wants:
    def wants(aim: Aim, outcome: Outcome) -> bool:
        if aim.hit(outcome):
            return False
        if outcome.answer is None:
            return how in (None, "drop")
        return outcome.answer.kind in ("reset", "icmp") and how in (None, outcome.answer.kind)

    return wants


def _apart(check: Isolated) -> Wants:
    """It did not arrive at a host of another side; hosts of its own network may get it, and answer."""
    side_of = {host: number for number, side in enumerate(check.sides) for host in side.names}

    def wants(aim: Aim, outcome: Outcome) -> bool:
        own = side_of[aim.source]
        return all(side_of.get(host, own) == own for host in outcome.arrived)

    return wants


def became(aim: Aim, outcome: Outcome) -> str:
    """What became of a TCP connection: one of ``topologies.model.checks.Result``."""
    if outcome.answer is None:
        return "timeout"
    if outcome.answer.kind in ("reply", "syn-ack"):
        return "connects"
    return "filtered" if aim.host and not aim.hit(outcome) else "refused"


def _became(result: str) -> Wants:
    return lambda aim, outcome: outcome.resolved and became(aim, outcome) == result


def seen(probe: Probe, outcome: Outcome, ways: Ways) -> str:
    """What was seen of a probe, in words."""
    target = probe.target
    wrong = [name for name in outcome.arrived if name not in ways.arrives_at(target)]
    if wrong:
        return f"it was delivered to {', '.join(wrong)}, not to {target}"
    if not outcome.resolved:
        what = "ARP" if probe.family == 4 else "neighbour discovery"
        via = ways.hop(probe.source, target).station.name
        return f"no answer to {what} for {via}" + "".join(f": {text}" for text in outcome.packets[:1])
    arrived = bool(outcome.arrived)
    if outcome.answer is None:
        if arrived:
            return f"the request arrived at {target}, no answer came back to {probe.source}"
        return f"no answer, and the request did not arrive at {target}"
    here = f"it arrived at {target}" if arrived else f"it did not arrive at {target}"
    match outcome.answer.kind:
        case "reset":
            who = f"{target} itself refused the connection" if arrived else "something on the way reset it"
            return f"{here}: {who}"
        case "icmp":
            who = target if arrived else "something on the way"
            return f"{here}: {who} answered with an ICMP error"
        case "syn-ack":
            return f"{here}: the connection was opened" if arrived else "the connection was opened"
    return f"{here}, and an answer came back" if arrived else "an answer came back"


def _quiet(probe: Probe, outcome: Outcome, ways: Ways) -> bool:
    """Nothing was heard of the target."""
    return outcome.answer is None and ways.arrives_at(probe.target).isdisjoint(outcome.arrived)


def unproven(probe: Probe, signs: Signs, ways: Ways) -> str:
    """Why silence proves nothing about a probe; empty: the controls show that it does."""
    if probe.source not in signs.left and probe.source not in signs.resolved:
        return f"no other frame of {probe.source} was seen anywhere, either, and no switch answered it"
    at = ways.arrives_at(probe.target)
    if at and not at & signs.reached and not at & signs.resolved:
        return f"no frame of any host was seen at {probe.target}, either, and no switch answered it"
    return ""


def controls(probes: Iterable[Probe], ways: Ways) -> list[Probe]:
    """Probes that show whether the silence of others means something: to each of their targets from hosts
    that may reach it, and from each of their sources to hosts that it may reach."""
    wanted: dict[tuple[str, str, int], None] = {}
    targets: dict[tuple[str, int], None] = {}
    sources: dict[tuple[str, int], None] = {}
    for probe in probes:
        if not probe.resolve:
            sources[probe.source, probe.family] = None
            for host in sorted(ways.arrives_at(probe.target)):
                targets[host, probe.family] = None
    for target, family in targets:
        wanted |= dict.fromkeys((near, target, family) for near in _allowed(target, family, ways, True))
    for source, family in dict.fromkeys([*sources, *targets]):
        wanted |= dict.fromkeys((source, near, family) for near in _allowed(source, family, ways, False))
    return [
        Probe(source, target, family, "icmp", 0, _CONTROL_WITHIN, lambda outcome: bool(outcome.arrived))
        for source, target, family in wanted
    ]


def _allowed(host: str, family: int, ways: Ways, inward: bool) -> list[str]:
    """Some hosts with which a host may exchange pings in one direction, or may at least try to."""
    allowed: list[str] = []
    others: list[str] = []
    for count, near in enumerate(ways.neighbours(host)):
        if count >= _CANDIDATES or len(allowed) >= _CONTROLS:
            break
        source, target = (near, host) if inward else (host, near)
        if family not in ways.families(source, target):
            continue
        expected = ways.policy.ping(ways.hosts[source], ways.hosts[target], family)
        (allowed if expected.allowed else others).append(near)
    return allowed or others[:_CONTROLS]
