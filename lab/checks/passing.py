"""``traverses``, ``avoids``, ``encapsulated``: packets that are watched at functions and underlay links."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.checks.judgement import MOST_FINDINGS, Judgement, finding, judged
from lab.checks.loop import Loop
from lab.checks.probes import Outcome, Probe, Sighting
from lab.checks.room import Visit
from lab.checks.services import pairs
from lab.messages.checks import Finding
from topologies.model.attachment import Tap
from topologies.model.checks import Between, Protocol
from topologies.model.checks_of_ways import Avoids, Encapsulated, Traverses


def passed(outcome: Outcome, back: bool) -> list[str]:
    """The functions at whose devices a packet, or its answer, was seen, in the order of time."""
    names: list[str] = []
    for sighting in sorted(sighting for sighting in outcome.sightings if sighting.back == back):
        function = sighting.point.rpartition(":")[0].partition(".")[0]
        if function and function not in names:
            names.append(function)
    return names


def traverses_act(check: Traverses, visit: Visit) -> Judgement:
    """Compare the functions that packets pass, in each direction. A tap, which gets copies, counts only if
    the check names it."""
    seen_at, unseen = _watched(visit)
    seen_at -= _taps(visit) - {*check.functions, *check.back}
    there = [name for name in check.functions if name in seen_at]
    back = [name for name in check.back if name in seen_at]
    blind = sorted({*check.functions, *check.back} & unseen)
    note = f"flow tables do the work of {', '.join(blind)}: no packet is seen there" if blind else ""
    if blind and not there and not back:
        return Judgement("error", 1, (finding(check.expected, note),))

    def wrong(outcome: Outcome) -> str:
        if outcome.answer is None:
            return f"no answer came back; the request was seen at {_row(passed(outcome, False))}"
        if passed(outcome, False) != there:
            return f"it passed {_row(passed(outcome, False))}"
        if passed(outcome, True) != back:
            return f"the answer passed {_row(passed(outcome, True))}"
        return ""

    return _compared(check, visit, check.protocol, check.port, wrong, functions=sorted(seen_at), note=note)


def avoids_act(check: Avoids, visit: Visit) -> Judgement:
    """Look whether packets pass functions that they should not."""
    seen_at, unseen = _watched(visit)
    blind = sorted({*check.functions} & unseen)
    if blind:
        what = f"flow tables do the work of {', '.join(blind)}: no packet is seen there"
        return Judgement("error", 1, (finding(check.expected, what),))

    def wrong(outcome: Outcome) -> str:
        if outcome.answer is None:
            return "no answer came back, so its way is not known"
        met = [name for back in (False, True) for name in passed(outcome, back) if name in check.functions]
        return f"it passed {_row(list(dict.fromkeys(met)))}" if met else ""

    return _compared(check, visit, check.protocol, check.port, wrong, functions=sorted(seen_at))


def encapsulated_act(check: Encapsulated, visit: Visit) -> Judgement:
    """Look at what packets are in on the links of the underlay."""
    topology = visit.room.topology
    assert topology.underlay is not None
    links = [link.name for link in topology.underlay.links]
    vteps = {vtep.domain: str(vtep.address) for vtep in topology.underlay.vteps}
    domains = {switch.name: switch.domain for switch in topology.switches}

    def wrong_of(probe: Probe) -> Callable[[Outcome], str]:
        ends = check.outer
        if not ends and probe.target in visit.ways.hosts:
            hosts = (visit.ways.hosts[probe.source], visit.ways.hosts[probe.target])
            ends = tuple(domains[host.at.switch] for host in hosts)
        outer = tuple(vteps[domain] for domain in ends)

        def wrong(outcome: Outcome) -> str:
            there = [sighting for sighting in sorted(outcome.sightings) if not sighting.back]
            on_link = [s for s in there if not check.link or _link(s) == f"link {check.link}"]
            if not there:
                return "it was seen on no link of the underlay" + (
                    "" if outcome.arrived else ", and did not arrive"
                )
            if not on_link:
                return f"it was seen on {', '.join(dict.fromkeys(map(_link, there)))} only"
            for sighting in on_link:
                if sighting.vni != check.vni or (outer and sighting.outer != outer):
                    return _tunnel(sighting)
            return ""

        return wrong

    return _compared(check, visit, check.protocol, check.port, None, links=links, wrong_of=wrong_of)


def _link(sighting: Sighting) -> str:
    """The link at one of whose ends a packet was seen."""
    return sighting.point.partition(" at ")[0]


def _tunnel(sighting: Sighting) -> str:
    if sighting.vni is None:
        return f"on {_link(sighting)} it was in no tunnel"
    ends = " to ".join(sighting.outer or ())
    return f"on {_link(sighting)} it had VNI {sighting.vni}, from {ends}"


def _compared(
    check: Between,
    visit: Visit,
    protocol: Protocol,
    port: int | None,
    wrong: Callable[[Outcome], str] | None,
    functions: Sequence[str] = (),
    links: Sequence[str] = (),
    wrong_of: Callable[[Probe], Callable[[Outcome], str]] | None = None,
    note: str = "",
) -> Judgement:
    """Send the packets of a check, and watch. ``wrong``: what is not as expected, in words."""
    judges: list[Callable[[Outcome], str]] = []
    probes: list[Probe] = []
    for source, target, family in pairs(check, visit):
        bare = Probe(source, target, family, protocol, port or 0, check.within, lambda outcome: True)
        judge = wrong_of(bare) if wrong_of is not None else wrong
        assert judge is not None
        judges.append(judge)
        probes.append(bare._replace(wants=_right(judge)))
    if not probes:
        words = "no two of these hosts have an address of the same family"
        return Judgement("error", 0, (finding(check.expected, words),))
    with visit.room.still():
        points = visit.room.watched(functions, links)
        loop = Loop(visit.ways, visit.room.open_socket, visit.cancelled, points=points)
        outcomes = loop.run(probes)
    visit.rest(0)
    findings: list[Finding] = []
    errors = 0
    for probe, outcome, judge in zip(probes, outcomes, judges, strict=True):
        if outcome.error:
            errors += 1
            findings.append(finding(probe.words, f"it could not be tried: {outcome.error}"))
        elif what := judge(outcome):
            packets = outcome.packets if len(findings) < MOST_FINDINGS else []
            findings.append(finding(probe.words, what, packets))
    return judged(findings, len(probes), errors, note)


def _right(judge: Callable[[Outcome], str]) -> Callable[[Outcome], bool]:
    return lambda outcome: not judge(outcome)


def _watched(visit: Visit) -> tuple[set[str], set[str]]:
    """The functions with devices, at which packets are seen, and the others."""
    functions = visit.room.topology.functions
    seen = {function.name for function in functions if function.instances}
    return seen, {function.name for function in functions} - seen


def _taps(visit: Visit) -> set[str]:
    """The functions that get copies."""
    functions = visit.room.topology.functions
    return {function.name for function in functions if isinstance(function.attachment, Tap)}


def _row(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "no function"
