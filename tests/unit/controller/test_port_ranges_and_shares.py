"""Port ranges as masked matches, and shares of connections given to instances."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.compiler.rendezvous import SHARES, instance_of_each_share
from controller.flow.port_ranges import MOST, covering, masked

port = st.integers(0, MOST)
ranges = st.lists(st.tuples(port, port).map(lambda ends: (min(ends), max(ends))), min_size=1, max_size=4)


def hit(number: int, blocks: list[tuple[int, int | None]]) -> int:
    return sum(number & (MOST if mask is None else mask) == value for value, mask in blocks)


@given(ranges, st.lists(port, min_size=1, max_size=50))
def test_masks_match_the_ports_of_the_ranges_once_and_no_others(
    some: list[tuple[int, int]], others: list[int]
) -> None:
    blocks = list(covering(some))
    edges = [number + step for ends in some for number in ends for step in (-1, 0, 1)]
    for number in (port for port in [*edges, *others] if 0 <= port <= MOST):
        inside = any(first <= number <= last for first, last in some)
        assert hit(number, blocks) == (inside if blocks else 0) or (not blocks and inside)


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [(80, 80, 1), (0, MOST, 1), (1, MOST, 16), (0, MOST - 1, 16), (1, MOST - 1, 30), (1000, 1999, 7)],
)
def test_no_more_masks_than_needed(first: int, last: int, count: int) -> None:
    assert len(list(masked(first, last))) == count


def test_all_ports_need_no_match() -> None:
    assert covering([(0, 99), (100, MOST)]) == () and covering(()) == ()


names = st.lists(st.integers(1, 16).map(lambda n: f"fw.{n}"), min_size=2, max_size=16, unique=True)


@given(names, st.data())
def test_an_instance_that_goes_gives_up_its_own_shares_only(some: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(some))
    before, after = (
        instance_of_each_share(some),
        instance_of_each_share([name for name in some if name != gone]),
    )
    for one, two in zip(before, after, strict=True):
        assert one in (two, gone)


@given(names)
def test_the_order_of_instances_says_nothing(some: list[str]) -> None:
    assert instance_of_each_share(some) == instance_of_each_share(some[::-1])


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_shares_are_spread_over_instances(count: int) -> None:
    parts = Counter(instance_of_each_share([f"fw.{number + 1}" for number in range(count)]))
    assert len(parts) == count
    assert all(SHARES / count / 2 < part < SHARES / count * 2 for part in parts.values()), parts
