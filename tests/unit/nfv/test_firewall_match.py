"""Rules become look-ups without changing which of them decides: compared with one after the other."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfv.firewall.match import (
    DESTINATION,
    DESTINATION_PORT,
    FEWEST_RULES,
    SOURCE,
    SOURCE_PORT,
    Part,
    Shape,
    Single,
    Together,
    merged,
    parts,
    plan,
)
from tests.unit.nfv.packet_filter import Flow, first, flow, matches
from topologies.model.functions import Rule

SMALL4 = [f"10.0.0.{last}/{length}" for length in (30, 31, 32) for last in range(0, 8, 1 << (32 - length))]
SMALL6 = [
    f"fd00::{last:x}/{length}" for length in (126, 127, 128) for last in range(0, 8, 1 << (128 - length))
]
PROTOCOLS = ["tcp", "udp", "sctp", "icmp", "icmpv6", None]
ENDS = [*product(range(9), repeat=2)]
prefixes = st.lists(st.sampled_from(SMALL4 + SMALL6).map(ip_network), max_size=3).map(tuple)
ranges = st.lists(
    st.sampled_from([(low, low + more) for low in range(1, 7) for more in range(3)]), max_size=2
).map(tuple)
rule = st.builds(
    Rule,
    name=st.just("r"),
    action=st.sampled_from(["accept", "drop", "reject"]),
    source=prefixes,
    destination=prefixes,
    protocol=st.sampled_from(PROTOCOLS),
    source_ports=st.just(()) | ranges,
    destination_ports=ranges,
)
alike = st.builds(
    lambda action, last, port: Rule(
        name="r",
        action=action,
        protocol="tcp",
        source=(ip_network(f"10.0.0.{last}/32"),),
        destination_ports=(port,),
    ),
    st.sampled_from(["accept", "drop"]),
    st.integers(0, 7),
    st.integers(1, 6).map(lambda port: (port, port)),
)
rules = st.lists(rule, max_size=12).map(tuple) | st.lists(alike | alike | alike | rule, max_size=30).map(
    tuple
)
addresses = st.sampled_from(
    [tuple(form.format(end) for end in ends) for ends in ENDS for form in ("10.0.0.{}", "fd00::{:x}")]
)
flows = st.builds(
    lambda protocol, ends, ports: flow(
        protocol, *ends, *(ports if protocol in ("tcp", "udp", "sctp") else (0, 0))
    ),
    st.sampled_from(["tcp", "udp", "sctp", "icmp", "icmpv6", "gre"]),
    addresses,
    st.sampled_from([*product(range(10), repeat=2)]),
)


def coordinates(seen: Flow) -> dict[str, int]:
    return {
        SOURCE: int(seen.source),
        DESTINATION: int(seen.destination),
        SOURCE_PORT: seen.source_port,
        DESTINATION_PORT: seen.destination_port,
    }


def fits(shape: Shape, seen: Flow) -> bool:
    return shape.family in (None, seen.source.version) and shape.protocol in (None, seen.protocol)


def part_matches(part: Part, seen: Flow) -> bool:
    at = coordinates(seen)
    return fits(part.shape, seen) and all(
        any(low <= at[dimension] <= high for low, high in intervals)
        for dimension, intervals in zip(part.shape.dimensions, part.intervals, strict=True)
    )


def decided(steps: list[Single | Together], seen: Flow) -> int | None:
    """What nftables would do with these steps; and that it may do it (see ``one_at_most``)."""
    at = coordinates(seen)
    for step in steps:
        if isinstance(step, Single):
            if any(part_matches(part, seen) for part in parts(step.rule)):
                return step.number
            continue
        numbers = [
            number
            for shape, boxes in step.maps.items()
            if fits(shape, seen)
            for box, number in boxes.items()
            if all(low <= at[name] <= high for name, (low, high) in zip(shape.dimensions, box, strict=True))
        ]
        assert len(numbers) <= 1, "boxes of one look-up overlap"
        if numbers:
            return numbers[0]
    return None


@given(rule, flows)
def test_parts_match_what_the_rule_does(some: Rule, seen: Flow) -> None:
    assert any(part_matches(part, seen) for part in parts(some)) == matches(some, seen)


@given(rules, st.lists(flows, min_size=20, max_size=20))
def test_the_first_rule_decides(some: tuple[Rule, ...], seen: list[Flow]) -> None:
    steps = plan(some)
    for five_tuple in seen:
        assert decided(steps, five_tuple) == first(some, five_tuple)


@given(rules)
def test_every_rule_is_there_once_in_order(some: tuple[Rule, ...]) -> None:
    seen: list[int] = []
    for step in plan(some):
        numbers = (
            {step.number}
            if isinstance(step, Single)
            else {number for boxes in step.maps.values() for number in boxes.values()}
        )
        assert not seen or min(numbers, default=seen[-1] + 1) > seen[-1]
        seen += sorted(numbers)
    assert len(seen) == len(set(seen))


def test_a_long_list_of_one_kind_is_one_look_up() -> None:
    some = tuple(
        Rule(
            name=f"r{number}",
            action="accept",
            protocol="tcp",
            source=(ip_network(f"10.{number >> 8}.{number & 255}.0/24"),),
            destination_ports=((number % 1000, number % 1000),),
        )
        for number in range(10_000)
    )
    (step,) = plan(some)
    assert isinstance(step, Together)
    assert [len(boxes) for boxes in step.maps.values()] == [10_000]


@pytest.mark.parametrize("count", [FEWEST_RULES - 1, FEWEST_RULES])
def test_few_rules_stay_single(count: int) -> None:
    some = tuple(
        Rule(name="r", action="accept", source=(ip_network(f"10.0.0.{n}/32"),)) for n in range(count)
    )
    assert [type(step) for step in plan(some)] == ([Single] * count if count < FEWEST_RULES else [Together])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda two: (two[0], sum(two)))))
def test_merged_keeps_the_numbers(some: list[tuple[int, int]]) -> None:
    def numbers(intervals: object) -> list[int]:
        return [number for low, high in intervals for number in range(low, high + 1)]  # type: ignore[attr-defined]

    in_order = numbers(merged(some))
    assert in_order == sorted(set(numbers(some)))
