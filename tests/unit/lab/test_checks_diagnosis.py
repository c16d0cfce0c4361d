"""What stopped a packet: the flow, rule or missing thing is named, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from lab.checks.diagnosis import Ailing, Diagnosis
from lab.checks.probes import Probe
from lab.checks.ways import Ways
from topologies import shipped
from topologies.model.checks import Protocol

FIREWALL = topologies.load(shipped.path("firewall"))
LINES = Path(shipped.path("firewall")).read_text(encoding="utf-8").splitlines()


def probe(source: str, target: str, protocol: Protocol = "icmp", port: int = 0, family: int = 4) -> Probe:
    return Probe(source, target, family, protocol, port, 1.0, lambda outcome: True)


@pytest.mark.parametrize(
    ("of", "arrived", "words", "line"),
    [
        (
            probe("h1", "h2", "tcp", 22),
            False,
            "s2: edge.1 stops it: default drop of firewall edge",
            "default: drop",
        ),
        (probe("h2", "h1", family=6), False, "default drop of firewall edge", "default: drop"),
        (probe("h1", "h2", "tcp", 80), True, "nothing: rule web (accept) of firewall edge", "name: web"),
        (probe("h1", "h2", family=6), True, "nothing: rule ping6 (accept) of firewall edge", "name: ping6"),
        (
            probe("app", "db", "tcp", 22),
            False,
            "s1: the controller gets it: firewall guard, default: reject",
            "default: reject",
        ),
        (probe("app", "db", "tcp", 5432), True, "rule postgres", "name: postgres"),
    ],
)
def test_the_rule_that_decided(of: Probe, arrived: bool, words: str, line: str) -> None:
    reason = Diagnosis(Ways(FIREWALL), Ailing()).reason(of, arrived)
    assert words in reason.words
    assert reason.place is not None and line in LINES[reason.place.line - 1]


def test_a_packet_that_the_tables_deliver_is_suspected_elsewhere() -> None:
    reason = Diagnosis(Ways(FIREWALL), Ailing()).reason(probe("h1", "h2", "tcp", 80), False)
    assert reason.words.startswith("no flow: the tables deliver it (s1 -> s2)")
    assert "it passes edge, whose processes may drop it" in reason.words


@pytest.mark.parametrize(
    ("ailing", "words"),
    [
        (Ailing(links=frozenset(("h2-s2",))), "the wire of h2 is cut (sdnlab link up h2-s2)"),
        (Ailing(switches=frozenset(("s2",))), "s2: the switch is off (sdnlab switch up s2)"),
        (Ailing(links=frozenset(("s1-s2",))), "(cut: s1-s2)"),
    ],
)
def test_what_is_missing(ailing: Ailing, words: str) -> None:
    assert words in Diagnosis(Ways(FIREWALL), ailing).reason(probe("h1", "h2", "tcp", 80), False).words


def test_a_function_that_does_not_work() -> None:
    ailing = Ailing(failed=frozenset(("edge.1",)))
    reason = Diagnosis(Ways(FIREWALL), ailing).reason(probe("h1", "h2", "tcp", 80), False)
    assert "edge" in reason.words


def test_tenants_that_nothing_joins() -> None:
    lab = topologies.load(shipped.path("two-domains"))
    reason = Diagnosis(Ways(lab), Ailing()).reason(probe("red1", "blue3"), False)
    assert reason.words
