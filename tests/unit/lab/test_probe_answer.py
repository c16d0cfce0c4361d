"""What the prober found, held to what the file wants."""

from __future__ import annotations

import topologies
from lab.probe.answer import PAIRS_SHOWN, ping_result
from lab.probe.pairs import default_pairs
from lab.probe.prober import Failure, ProbeResult
from topologies.model.policy import Policy
from topologies.model.topology import Topology


def probed(topology: Topology, reached: frozenset[tuple[str, str]]) -> ProbeResult:
    pairs = default_pairs(topology.hosts)
    rtt = {(a, b, 4): 0.001 for a, b in pairs if (a, b) in reached}
    failed = tuple(Failure(a, b, 4, "lost on the way there") for a, b in pairs if (a, b) not in reached)
    return ProbeResult("stack", (4,), rtt, failed, 0.1, len(pairs))


def row(parts: int, per_part: int) -> Topology:
    """``parts`` switches that nothing joins, with ``per_part`` hosts each."""
    hosts = ", ".join(f"h{p}-{i}: s{p}" for p in range(parts) for i in range(per_part))
    switches = ", ".join(f"s{p}" for p in range(parts))
    return topologies.loads(f"switches: [{switches}]\nhosts: {{{hosts}}}\n".encode(), "row.yaml")


def within(topology: Topology) -> frozenset[tuple[str, str]]:
    at = {host.name: host.port.switch for host in topology.hosts}
    return frozenset((a, b) for a in at for b in at if a != b and at[a] == at[b])


def test_pairs_of_different_parts_are_counted_as_expected() -> None:
    topology = row(2, 2)
    answer = ping_result(topology, probed(topology, within(topology)), [], "auto", Policy(topology))
    assert (answer["total"], answer["reached"], answer["apart"], answer["held"]) == (12, 4, 8, 0)
    assert answer["good"] and not answer["leaked"]
    (pair,) = [p for p in answer["pairs"] if (p["src"], p["dst"]) == ("h0-0", "h1-0")]
    assert pair["apart"] and pair["policy"] == "no link joins s0 and s1"


def test_a_pair_lost_within_a_part_is_still_a_failure() -> None:
    topology = row(2, 2)
    reached = within(topology) - {("h0-0", "h0-1")}
    answer = ping_result(topology, probed(topology, reached), [], "auto", Policy(topology))
    assert not answer["good"] and answer["apart"] == 8


def test_parts_that_meet_in_spite_of_the_file_are_a_failure() -> None:
    topology = row(2, 2)
    reached = within(topology) | {("h0-0", "h1-1")}
    answer = ping_result(topology, probed(topology, reached), [], "auto", Policy(topology))
    assert not answer["good"] and (answer["apart"], answer["leaked"]) == (7, 1)


def test_a_large_result_does_not_list_what_is_apart() -> None:
    topology = row(25, 2)
    answer = ping_result(topology, probed(topology, within(topology)), [], "auto", Policy(topology))
    assert answer["total"] > PAIRS_SHOWN and answer["good"] and answer["pairs"] == []
