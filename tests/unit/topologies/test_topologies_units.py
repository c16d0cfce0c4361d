"""How values are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from topologies.syntax import units


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("100mbit", 100_000_000), ("1gbit", 10**9), ("10M", 10**7), ("10m", 10**7), ("10Mb/s", 10**7),
        ("1.5Gbps", 1_500_000_000), ("64kbit", 64_000), ("1 Gbit/s", 10**9), ("5000bit", 5000),
        ("1tbit", 10**12), ("0.1mbit", 100_000), ("1000 bits/s", 1000),
    ],
)  # fmt: skip
def test_bandwidth(text: str, bits: int) -> None:
    assert units.bandwidth(text) == bits


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("5ms", 5000),
        ("200us", 200),
        ("200µs", 200),
        ("200μs", 200),
        ("1s", 10**6),
        ("0.25ms", 250),
        ("0", 0),
        ("1 ms", 1000),
    ],
)
def test_delay(text: str, micros: int) -> None:
    assert units.delay(text) == micros


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("1%", 0.01), ("0.01", 0.01), ("100%", 1.0), ("0", 0.0), ("0.5 %", 0.005), ("0%", 0.0)],
)
def test_loss(text: str, fraction: float) -> None:
    assert units.loss(text) == fraction


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("0x1f", 31), ("00000000000000ff", 255), ("0000000000000010", 16),
        ("00:00:00:00:00:00:00:10", 16), ("18446744073709551615", 2**64 - 1),
        ("0xFFFFFFFFFFFFFFFF", 2**64 - 1),
    ],
)  # fmt: skip
def test_dpid(text: str, value: int) -> None:
    assert units.dpid(text) == value


PARSERS: list[Callable[[str], Any]] = [
    units.bandwidth, units.delay, units.loss, units.dpid, units.mac, units.ipv4, units.ipv6,
    units.subnet4, units.subnet6,
]  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "-1", "+1", "1e3", "0x", "٣", "٣ms", "1_0", "1__0mbit", "nan", "inf",
     "9" * 5000, "1/" * 40, "::/::", "\n1"],
)  # fmt: skip
def test_nonsense_is_a_bad_value(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(units.BadValue) as caught:
        parse(text)
    assert caught.value.what and caught.value.allowed and len(caught.value.what) < 150


def test_final_line_end_is_no_part_of_a_value() -> None:
    for parse, text in (
        (units.mac, "02:00:00:00:00:01\n"),
        (units.ipv4, "10.0.0.1\n"),
        (units.end, "s1:4\n"),
    ):
        with pytest.raises(units.BadValue):
            parse(text)
