"""What is predicted beside what is seen and what switches say: every difference has a name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.compiler.compile import compile_topology
from controller.flow.tables import Flow
from controller.simulate.network import Lookup
from controller.trace.path import explain
from controller.trace.questions import Traffic, question
from dataplane.ovs.tracing import Match, Visit
from lab.packets.tagged import tagged
from lab.tracing.comparison import Compared, compare
from lab.tracing.points import Point
from lab.tracing.watching import Sighting
from topologies import load, shipped

LAB = load(shipped.path("firewall"))
TABLES = {name: Lookup(held) for name, held in compile_topology(LAB).items()}


def wanted(switch: str) -> dict[int, str]:
    """The reasons of the flows that the controller wants."""
    return {cookie: flow.why for cookie, flow in TABLES[switch].by_cookie().items()}


ASKED = question(LAB, "h1", "h2")
TRACE = explain(LAB, TABLES, ASKED.frame, ASKED.at)
HOPS = list(TRACE.hops())  # s1 from h1; s2 by the link; s2 out of edge.1
DATA = tagged(ASKED.frame, b"12345678")
ENTRANCES = {(hop.at.switch, hop.at.number) for hop in (HOPS[0], HOPS[2])}
"""The ports that are devices; the link is a pair of patch ports."""
EVERYWHERE = (
    Point("n", "d", "enters", "s1", HOPS[0].at.number),
    Point("n", "d", "function", "edge.1"),
    Point("n", "d", "enters", "s2", HOPS[2].at.number),
    Point("n", "d", "host", "h2"),
)


def as_predicted() -> list[Visit | None]:
    def matches(number: int) -> tuple[Match, ...]:
        flows = (note for note in HOPS[number].notes if isinstance(note, Flow))
        return tuple(Match(flow.table, flow.cookie, "") for flow in flows)

    return [Visit(hop.at.switch, matches(number)) for number, hop in enumerate(HOPS)]


def compared(seen_at: tuple[Point, ...] = EVERYWHERE, visits: list[Visit | None] | None = None) -> Compared:
    sightings = [Sighting(point, "there", DATA, 0.0) for point in seen_at]
    said = as_predicted() if visits is None else visits
    return compare(TRACE, "there", sightings, said, ENTRANCES, wanted, LAB)


def changed(number: int, change: Callable[[tuple[Match, ...]], tuple[Match, ...]]) -> list[Visit | None]:
    visits = as_predicted()
    visit = visits[number]
    assert visit is not None
    visits[number] = replace_matches(visit, change(visit.matches))
    return visits


def replace_matches(visit: Visit, matches: tuple[Match, ...]) -> Visit:
    return visit._replace(matches=matches)


def test_all_is_as_predicted() -> None:
    result = compared()
    assert (result.seen, result.delivered) == (["yes"] * 3, ["h2"])
    assert result.differences == result.stops == result.remarks == []


def test_a_function_that_keeps_the_packet_is_no_difference() -> None:
    result = compared(EVERYWHERE[:2])
    assert result.seen == ["yes", "yes", "no"] and result.differences == []
    assert ["edge.1 got it, and sent nothing on" in stop["why"] for stop in result.stops] == [True]


def test_the_rule_by_which_a_function_drops_it_is_named() -> None:
    asked = question(LAB, "h1", "h2", Traffic("tcp", 22))
    trace = explain(LAB, TABLES, asked.frame, asked.at)
    data = tagged(asked.frame, b"12345678")
    sightings = [Sighting(point, "there", data, 0.0) for point in EVERYWHERE[:2]]
    (stop,) = compare(trace, "there", sightings, [None] * 3, ENTRANCES, wanted, LAB).stops
    lines = shipped.path("firewall").read_text().splitlines()
    assert (stop["switch"], stop["why"]) == ("s2", "edge.1 stops it: default drop of firewall edge")
    assert stop["place"] is not None and "default: drop" in lines[stop["place"]["line"] - 1]


def test_what_a_function_changes_is_told() -> None:
    aged = DATA[:22] + bytes((DATA[22] - 1,)) + DATA[23:]
    sightings = [Sighting(point, "there", DATA, 0.0) for point in EVERYWHERE[:2]]
    sightings += [Sighting(point, "there", aged, 0.0) for point in EVERYWHERE[2:]]
    result = compare(TRACE, "there", sightings, as_predicted(), ENTRANCES, wanted, LAB)
    assert result.remarks == ["edge.1 changed it: TTL 64 -> 63"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: (*m[:-1], replace_cookie(m[-1], None)), "no flow matches: the flow is missing"),
        (lambda m: (*m[:-1], replace_cookie(m[-1], 7)), "a flow that the controller did not ask for"),
        (lambda m: (*m[:-1], replace_cookie(m[-1], m[0].cookie)), 'but it matches "from h1, network office"'),
        (lambda m: m[:-1], "but it is not looked up there"),
    ],
)
def test_a_flow_that_should_match_is_named(
    change: Callable[[tuple[Match, ...]], tuple[Match, ...]], says: str
) -> None:
    result = compared(EVERYWHERE[:1], changed(0, change))
    (difference,) = result.differences
    assert difference["where"] == "s1" and difference["place"] is not None
    assert difference["text"].startswith('table FORWARD should match its flow "to hop 1 at s2"')
    assert says in difference["text"]
    assert result.seen == ["yes", "no", "no"]


def replace_cookie(match: Match, cookie: int | None) -> Match:
    return match._replace(cookie=cookie)


def test_a_lookup_too_many_is_a_difference() -> None:
    result = compared(EVERYWHERE, changed(0, lambda matches: (*matches, Match(90, 5, "priority 1"))))
    assert ["should not" in difference["text"] for difference in result.differences] == [True]


def test_a_packet_that_nobody_gets_is_a_difference() -> None:
    result = compared(EVERYWHERE[:3])
    assert [difference["where"] for difference in result.differences] == ["h2"]


def test_a_host_that_should_not_get_it_is_named() -> None:
    result = compared((*EVERYWHERE, Point("n", "d", "host", "db")))
    assert [(d["where"], d["text"]) for d in result.differences] == [("db", "it got here, but should not")]


def test_a_switch_that_says_nothing_is_no_difference() -> None:
    result = compared(EVERYWHERE, [None, None, None])
    assert result.differences == [] and result.seen == ["yes"] * 3


def test_a_lost_frame_on_a_link_of_devices() -> None:
    devices = ENTRANCES | {(HOPS[1].at.switch, HOPS[1].at.number)}
    sightings = [Sighting(EVERYWHERE[0], "there", DATA, 0.0)]
    result = compare(TRACE, "there", sightings, as_predicted(), devices, wanted, LAB)
    assert result.seen[1] == "no"
    assert "it left s1 by link s1-s2, and did not arrive" in [d["text"] for d in result.differences]


def test_another_way_of_several_is_no_difference() -> None:
    """Nothing is said about what follows a bucket that the datapath chooses."""
    topology = load(shipped.path("leaf-spine"))
    tables = {name: Lookup(held) for name, held in compile_topology(topology).items()}
    asked = question(topology, "h1", "h7")
    trace = explain(topology, tables, asked.frame, asked.at)
    hops = list(trace.hops())
    start = Point("n", "d", "enters", hops[0].at.switch, hops[0].at.number)
    end = replace_point(start, kind="host", name="h7")
    sightings = [Sighting(point, "there", DATA, 0.0) for point in (start, end)]
    everywhere = {(hop.at.switch, hop.at.number) for hop in hops}
    result = compare(trace, "there", sightings, [None] * len(hops), everywhere, wanted, topology)
    assert result.differences == [] and result.seen[0] == "yes" and set(result.seen[1:]) == {""}


def replace_point(point: Point, **what: object) -> Point:
    return point._replace(**what)  # type: ignore[arg-type]
