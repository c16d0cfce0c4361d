"""Compares what was predicted with what was seen, and with the flows that the switches really match. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.flow.tables import Flow, table_of
from controller.simulate.decode import frame_of
from controller.simulate.notes import Chosen
from controller.trace.path import Hop, Trace, as_openvswitch_traces
from controller.trace.rules import Decision, decisions, dropped
from dataplane.ovs.tracing import Visit
from lab.messages.trace import DifferenceState, Seen, StopState
from lab.packets.tagged import Direction, inside
from lab.tracing.watching import Sighting
from lab.views.trace import changes, line, place_state
from topologies.model.choices import ROUTER
from topologies.model.places import Entity, Places
from topologies.model.topology import Topology


@dataclass
class Compared:
    """What became of one way. ``seen``: of each hop, in order; ``delivered``: to whom."""

    seen: list[Seen] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    differences: list[DifferenceState] = field(default_factory=list)
    stops: list[StopState] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def entry(hop: Hop, direction: Direction, sightings: Sequence[Sighting]) -> Sighting | None:
    """Where the packet was seen as it entered the switch of a hop."""
    for sighting in sightings:
        point = sighting.point
        entered = (point.kind, point.name, point.number) == ("enters", hop.at.switch, hop.at.number)
        if entered and sighting.direction == direction:
            return sighting
    return None


def compare(
    trace: Trace,
    direction: Direction,
    sightings: Sequence[Sighting],
    visits: Sequence[Visit | None],
    observable: Collection[tuple[str, int]],
    wanted: Callable[[str], Mapping[int, str]],
    topology: Topology,
) -> Compared:
    """``visits``: of each hop, what its switch says that it does; None: it did not say. ``observable``: ports
    at which entering frames can be seen. ``wanted``: of a switch, the reasons of the flows that its
    controller wants now, by cookie; it is called where something differs."""
    result, places = Compared(), topology.places
    hops = list(trace.hops())
    by_rules = {id(p.hop): p.decision for p in decisions(topology, trace)} if direction == "there" else {}
    parents = dict(_parents(hops))
    good: dict[int, bool] = {}  # of each hop: the switch does what is predicted
    sure: dict[int, bool] = {}  # of each hop: it is on the only way
    for hop, visit in zip(hops, visits, strict=True):
        parent = parents.get(id(hop))
        before = parent is None or sure[id(parent)]
        sure[id(hop)] = before and not any(
            isinstance(note, Chosen) and note.ways > 1 and not note.taken for note in hop.notes
        )
        difference = None if visit is None else _different(hop, visit, wanted, places)
        good[id(hop)] = difference is None
        if difference is not None:
            result.differences.append(difference)
            what = "its flows are not those that are predicted (see above)"
            result.stops.append({"switch": hop.at.switch, "why": what, "place": None})
        seen: Seen = ""
        if entry(hop, direction, sightings) is not None:
            seen = "yes"
        elif (hop.at.switch, hop.at.number) in observable:
            seen = "no" if before else ""
        elif parent is not None and before:
            seen = result.seen[hops.index(parent)] if good[id(parent)] else "no"
        result.seen.append(seen)
        if hop.came.kind == "function":
            _through_function(hop, direction, sightings, seen, result, places, by_rules.get(id(hop)))
        elif seen == "no" and parent is not None and _was_good(parent, hops, result, good):
            what = f"it left {parent.at.switch} by {hop.came.kind} {hop.came.name}, and did not arrive"
            remedy = "is the link up? see: sdnlab status"
            result.differences.append(_difference(hop.at.switch, what, remedy))
    routers = {host.name for host in topology.hosts if host.kind == ROUTER}
    _deliveries(trace, direction, sightings, result, all(sure.values()), bool(result.stops), routers)
    return result


def _was_good(hop: Hop, hops: Sequence[Hop], result: Compared, good: Mapping[int, bool]) -> bool:
    """Whether the packet was seen at a switch that does what is predicted."""
    return good[id(hop)] and result.seen[hops.index(hop)] == "yes"


def _parents(hops: Sequence[Hop]) -> Iterator[tuple[int, Hop]]:
    for hop in hops:
        for copy in hop.copies:
            if copy.hop is not None:
                yield id(copy.hop), hop


def _different(
    hop: Hop, visit: Visit, wanted: Callable[[str], Mapping[int, str]], places: Places
) -> DifferenceState | None:
    """The first lookup that the switch does in another way."""
    lookups, complete = as_openvswitch_traces(hop)
    switch = hop.at.switch
    remedy = f"see the flows that it holds: sdnlab flows {switch}"
    for number, expected in enumerate(lookups):
        got = visit.matches[number] if number < len(visit.matches) else None
        cookie = expected.cookie if isinstance(expected, Flow) else None
        if got is not None and got.cookie == cookie and got.table == expected.table:
            continue
        place, entity = None, None
        if isinstance(expected, Flow):
            entity = expected.origin.entity
            what = f'table {expected.table.name} should match its flow "{expected.why or expected.cookie}"'
        else:
            what = f"table {expected.table.name} should match no flow"
        place = place_state(entity, places)
        if got is None:
            what += ", but it is not looked up there"
        elif got.cookie is None:
            what += f", but {_table(got.table, expected.table)}no flow matches: the flow is missing"
        elif got.cookie in (reasons := wanted(switch)):
            what += f', but {_table(got.table, expected.table)}it matches "{reasons[got.cookie] or got.text}"'
        else:
            what += f", but it matches a flow that the controller did not ask for ({got.text})"
        return _difference(switch, what, remedy, place_state(entity, places) or place)
    if complete and len(visit.matches) > len(lookups):
        last = next((lookup for lookup in reversed(lookups) if isinstance(lookup, Flow)), None)
        why = last.why if last is not None else ""
        return _difference(switch, f'it goes on after the flow "{why}", and should not', remedy)
    return None


def _table(number: int, expected: int) -> str:
    named = table_of(number)
    name = str(number) if named is None else named.name
    return "" if number == expected else f"in table {name} "


def _difference(where: str, text: str, remedy: str, place: object = None) -> DifferenceState:
    return {"where": where, "text": text, "remedy": remedy, "place": place}  # type: ignore[typeddict-item]


def _through_function(
    hop: Hop,
    direction: Direction,
    sightings: Sequence[Sighting],
    seen: Seen,
    result: Compared,
    places: Places,
    decision: Decision | None,
) -> None:
    """What an instance did with the packet: passed, changed or kept it. ``decision``: what it should do by
    its rules."""
    name = hop.came.name
    into = [
        s
        for s in sightings
        if s.direction == direction and s.point.kind == "function" and s.point.name == name
    ]
    out = entry(hop, direction, sightings)
    if out is not None and into:
        changed = changes(frame_of(inside(into[0].data).frame), frame_of(inside(out.data).frame))
        if changed:
            result.remarks.append(f"{name} changed it: {', '.join(changed)}")
    elif into and seen == "no":
        function = name.rpartition(".")[0] or name
        place = place_state(Entity("function", function), places)
        what = f"{name} got it, and sent nothing on: its process dropped it (see: sdnlab events)"
        if decision is not None and not decision.accepted:
            what, place = dropped(name, decision), line(decision.place)
        result.stops.append({"switch": hop.at.switch, "why": what, "place": place})


def _deliveries(
    trace: Trace,
    direction: Direction,
    sightings: Sequence[Sighting],
    result: Compared,
    sure: bool,
    stopped: bool,
    routers: Collection[str],
) -> None:
    """Where the packet came out. ``routers``: those of forwarding hosts: what comes after is theirs."""
    got = dict.fromkeys(
        sighting.point.name
        for sighting in sightings
        if sighting.direction == direction and sighting.point.kind == "host"
    )
    result.delivered = [*got]
    expected = {copy.passage.name for copy in trace.delivered() if not copy.passage.detail}
    for name in sorted(expected - set(got)):
        if sure and not stopped and not result.differences:
            what = "it should get here, but did not"
            result.differences.append(_difference(name, what, "is its link up? see: sdnlab status"))
    for router in sorted(expected.intersection(routers, got) if set(got) - expected else ()):
        result.remarks.append(f"{router} is a host that forwards: what comes after it is not predicted")
        sure = False
    for name in got:
        if sure and name not in expected and direction == "there":
            result.differences.append(
                _difference(name, "it got here, but should not", "see the flows: sdnlab flows")
            )
