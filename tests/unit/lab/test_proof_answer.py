"""What ``up`` answers: what was computed of all pairs, together with what packets showed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.messages import Computed, TablesHeld
from lab.cli.rendering import lab
from lab.cli.say import Paint
from lab.messages.lab import PingResult
from lab.probe.prober import Failure, ProbeResult
from lab.probe.proof import proven
from tests.unit.lab.test_render import pair, ping_result

PLAIN = Paint(False)
HOSTS = ["h1", "h2", "h3", "h4"]
COMPUTED = Computed(
    1, 0.01, 12, 12,
    ring=(("h1", "h2"), ("h2", "h3"), ("h3", "h4"), ("h4", "h1")),
    crossings=(("s1-s2", "s1", 3, "h1", "h3", 4, False), ("s1-s2", "s2", 3, "h3", "h1", 4, False)),
)  # fmt: skip
HELD = TablesHeld(1, 114, ())
RING = ProbeResult(
    "stack",
    (4, 6),
    {(str(src), str(dst), family): 0.001 for src, dst in COMPUTED.ring for family in (4, 6)},
    (),
    0.02,
    20,
    crossed=(True, True),
)


def answer(
    computed: Computed = COMPUTED,
    held: TablesHeld = HELD,
    ring: ProbeResult = RING,
    left: PingResult | None = None,
    down: tuple[str, ...] = (),
) -> PingResult:
    return proven(HOSTS, computed, held, ring, left, down, {"s1-s2"})


def without(ring: ProbeResult, *lost: tuple[str, str]) -> ProbeResult:
    rtt = {key: seconds for key, seconds in ring.rtt.items() if key[:2] not in lost}
    failures = tuple(Failure(*key, "no answer") for key in ring.rtt if key[:2] in lost)
    return replace(ring, rtt=rtt, failures=failures)


def test_all_is_proven() -> None:
    result = answer()
    assert result["good"] and result["total"] == result["reached"] == 24
    assert lab.ping_summary(result, PLAIN) == (
        "all 24 of 24 pairs proven (IPv4 12/12, IPv6 12/12): by computation on the tables that the switches "
        "hold; by packets 4 of 4 hosts, 1 of 1 links"
    )


def test_a_pair_that_the_tables_part_is_told_with_the_reason() -> None:
    computed = replace(COMPUTED, proven4=11, wrong=(("h1", "h4", 4, "s2 drops it: no such station"),))
    result = answer(computed)
    assert not result["good"] and (result["total"], result["reached"]) == (24, 23)
    assert [p["reason"] for p in result["pairs"]] == ["s2 drops it: no such station"]
    assert lab.ping_summary(result, PLAIN).startswith("23 of 24 pairs proven (IPv4 11/12, IPv6 12/12)")


def test_a_host_that_does_not_answer_is_told() -> None:
    result = answer(ring=without(RING, ("h2", "h3"), ("h3", "h4")))
    assert not result["good"] and result["reached"] == 20
    assert {(p["src"], p["dst"]) for p in result["pairs"]} == {("h2", "h3"), ("h3", "h4")}
    assert "by packets 3 of 4 hosts" in lab.ping_summary(result, PLAIN)


def test_a_link_that_does_not_carry_is_told() -> None:
    result = answer(ring=replace(RING, crossed=(True, False)))
    assert not result["good"] and result["reached"] == 24
    assert result["proof"]["problems"] == [
        "link s1-s2: a frame for h1 that s2 sent out of port 3 did not arrive"
    ]
    assert "0 of 1 links" in lab.ping_summary(result, PLAIN)


def test_a_link_that_is_down_is_told() -> None:
    computed = replace(COMPUTED, crossings=())
    result = answer(computed, ring=replace(RING, crossed=()), down=("s1-s2",))
    assert not result["good"] and result["proof"]["problems"] == ["link s1-s2 is down"]
    assert result["proof"]["links"] == {"good": 0, "total": 1}


def test_a_switch_that_holds_other_tables_is_told() -> None:
    result = answer(held=replace(HELD, differences=("s1: it does not hold the flow: to h2 on s1",)))
    assert not result["good"]
    assert result["proof"]["problems"] == ["s1: it does not hold the flow: to h2 on s1"]


def test_pairs_that_no_link_joins_are_as_the_file_has_it() -> None:
    result = answer(replace(COMPUTED, proven4=4, proven6=4, apart=16))
    assert result["good"] and (result["total"], result["reached"], result["apart"]) == (24, 8, 16)
    assert "8 of 24 pairs proven, 16 in parts that no link joins" in lab.ping_summary(result, PLAIN)


def test_pairs_of_which_computation_could_not_tell_are_by_packets() -> None:
    of_left: list[Any] = [pair("h1", "h4"), pair("h4", "h1", rtt=None, policy="firewall fw: default drop")]
    left = ping_result(of_left, HOSTS)
    result = answer(replace(COMPUTED, proven4=10), left=left)
    assert result["good"] and (result["total"], result["reached"], result["held"]) == (24, 23, 1)
    summary = lab.ping_summary(result, PLAIN)
    assert (
        "22 by computation on the tables that the switches hold, 2 by packets; by packets 4 of 4" in summary
    )


def test_a_link_that_no_ping_crosses_is_not_counted_and_is_told() -> None:
    computed = replace(COMPUTED, crossings=(), unused=("s1-s2", "s1-s2"))
    result = answer(computed, ring=replace(RING, crossed=()))
    assert result["good"] and result["proof"]["links"]["total"] == 0
    assert result["note"] == "no ping crosses link s1-s2, so no frame showed that it carries"
