"""Who claims which packets: compared with packets; and what names in rules and chains stand for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies.model.functions import PortRanges, Prefixes
from topologies.model.service_paths import Entry
from topologies.resolve.address_book import common, ranges
from topologies.resolve.overlaps import EPHEMERAL, Claim, overlap
from topologies.syntax import service_units
from topologies.syntax.units import BadValue

PREFIXES = st.lists(
    st.sampled_from(["10.0.0.0/30", "10.0.0.1/32", "10.0.0.2/31", "0.0.0.0/0", "fd00::/126", "fd00::1/128"]),
    max_size=2,
).map(lambda some: cast(Prefixes, tuple(ip_network(prefix) for prefix in some)))
PORTS = st.lists(st.tuples(st.integers(1, 3), st.integers(3, 5)), max_size=1).map(tuple)
HIGH = st.lists(st.tuples(st.integers(40000, 40002), st.integers(40002, 40004)), max_size=1).map(tuple)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    protocol = draw(st.sampled_from([None, "tcp", "udp", "icmp", "icmpv6"]))
    known = protocol in ("tcp", "udp")
    return Entry(
        "c", True, draw(st.sampled_from(["a", "a", "b"])), draw(PREFIXES), draw(PREFIXES), protocol,
        cast(PortRanges, draw(st.one_of(PORTS, HIGH)) if known else ()),
        cast(PortRanges, draw(st.one_of(PORTS, HIGH)) if known else ()), 1, 0,
    )  # fmt: skip


Packet = tuple[str, Any, Any, str, int, int]


def matches(entry: Entry, packet: Packet) -> bool:
    network, source, destination, protocol, sport, dport = packet
    if entry.network != network or entry.protocol not in (None, protocol):
        return False
    for address, some in ((source, entry.source), (destination, entry.destination)):
        if some and not any(address.version == prefix.version and address in prefix for prefix in some):
            return False
    for port, spans in ((sport, entry.source_ports), (dport, entry.destination_ports)):
        if spans and not any(low <= port <= high for low, high in spans):
            return False
    return True


FIVE = {
    "icmp": [ip_address("10.0.0.0") + n for n in range(5)],
    "icmpv6": [ip_address("fd00::") + n for n in range(5)],
}
SUBJECTS = st.sampled_from(
    [
        (network, source, target, protocol)
        for icmp, addresses in FIVE.items()
        for network, source, target, protocol in product("ab", addresses, addresses, ("tcp", "udp", icmp))
    ]
)
SOME_PORTS = st.sampled_from([*product((*range(1, 7), *range(40000, 40005)), repeat=2)])
PACKETS = st.tuples(SUBJECTS, SOME_PORTS).map(lambda parts: (*parts[0], *parts[1]))


@given(entries(), entries(), st.lists(PACKETS, min_size=20, max_size=40))
def test_packets_that_two_take_are_found(a: Entry, b: Entry, some: list[Packet]) -> None:
    both = overlap(Claim(a), Claim(b))
    assert bool(both) == bool(overlap(Claim(b), Claim(a)))
    for packet in some:
        if matches(a, packet) and matches(b, packet):
            known = a.source_ports or b.source_ports, a.destination_ports or b.destination_ports
            # of ports that nobody opens a connection from, both ends can't be
            assert both or (all(known) and max(packet[4], packet[5]) < EPHEMERAL)


@given(entries())
def test_every_claim_overlaps_itself_unless_it_is_empty(entry: Entry) -> None:
    claim = Claim(entry)
    both = (entry.source_ports, entry.destination_ports)
    low = [some and max(high for _, high in some) < EPHEMERAL for some in both]
    assert bool(overlap(claim, claim)) == (bool(claim.spans) and not all(low))


@given(PREFIXES, PREFIXES)
def test_ranges_are_the_addresses(one: Prefixes, other: Prefixes) -> None:
    first = int(IPv4Address("10.0.0.0"))
    sets = []
    for some in (one, other):
        spans = ranges(some, 4)
        assert all(a[1] + 1 < b[0] for a, b in zip(spans, spans[1:]))  # noqa: B905, RUF007
        inside = {n for n in range(first, first + 9) if any(low <= n <= high for low, high in spans)}
        assert inside == {
            n for n in range(first, first + 9)
            if not some or any(prefix.version == 4 and IPv4Address(n) in prefix for prefix in some)
        }  # fmt: skip
        sets.append(inside)
    if sets[0] & sets[1]:
        assert common(ranges(one, 4), ranges(other, 4)) is not None


def prefixes_of(source: str, more: str = "") -> Prefixes:
    lab = (
        "switches: [s1]\nnetworks: {lan: {subnet4: 10.0.0.0/24, subnet6: 'fd00::/64'}}\n"
        "hosts: {h0: s1, h1: s1, h2: s1}\n"
        f"groups: {{g: [h1, h2], both: [g, 10.0.0.0/30], v6: 'fd00::/64'}}\n{more}\n"
        "functions:\n  lb: {kind: load-balancer, switch: s1, port: 80, backends: h1, ipv4: 10.0.0.100}\n"
        f"  fw: {{kind: firewall, switch: s1, rules: [{{action: drop, source: {source}}}]}}\n"
    ).replace("backends: h1", "backends: [h1]")
    topology = topologies.loads(lab)
    firewall = topology.functions[0].firewall
    assert firewall is not None
    return firewall.rules[0].source


@pytest.mark.parametrize(
    ("source", "prefixes"),
    [
        ("h2", ["10.0.0.3/32", "fd00::3/128"]),
        ("10.0.0.9", ["10.0.0.9/32"]),  # no host may be called so
        ("lan", ["10.0.0.0/24", "fd00::/64"]),
        ("lb", ["10.0.0.100/32"]),
        ("[g, h1]", ["10.0.0.2/31", "fd00::2/127"]),
        ("both", ["10.0.0.0/30", "fd00::2/127"]),
        ("[v6, 'fd00::7']", ["fd00::/64"]),
        ("0.0.0.0/0", ["0.0.0.0/0"]),
    ],
)
def test_names_stand_for_addresses(source: str, prefixes: list[str]) -> None:
    assert [str(prefix) for prefix in prefixes_of(source)] == prefixes
    assert all(isinstance(prefix, (IPv4Network, IPv6Network)) for prefix in prefixes_of(source))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", ((80, 80),)), ("80-90", ((80, 90),)), ("443, 80", ((80, 80), (443, 443))),
        ("80,81,79-82", ((79, 82),)), ("1-65535", ((1, 65535),)), ("2,1", ((1, 2),)),
    ],
)  # fmt: skip
def test_ports(text: str, value: PortRanges) -> None:
    assert service_units.ports(text) == value


@pytest.mark.parametrize(
    "text", ["", " ", "x", "0", "65536", "-1", "1-", "1-2-3", "2-1", "1,,2", "٣", "9" * 99]
)
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(BadValue) as caught:
        service_units.ports(text)
    assert caught.value.allowed and len(caught.value.what) < 150


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (service_units.rate, "10/s", 10), (service_units.size, "64kB", 64000),
        (service_units.size, "64KiB", 65536),
        (service_units.interval, "1.5s", 1_500_000), (service_units.interval, "200 ms", 200_000),
        (service_units.target, "web1:8080", ("web1", 8080)), (service_units.target, "web1", ("web1", None)),
        (service_units.url_path, "/a/b?c=d", "/a/b?c=d"),
        (service_units.host_name, "WWW.Example.org", "www.example.org"),
    ],
)  # fmt: skip
def test_other_values(parse: Any, text: str, value: object) -> None:
    assert parse(text) == value
    for bad in ("", "x y", "\n1", "/a b\nc", 'a"b', "9" * 5000, "-1ms", "1 s\n"):
        with pytest.raises(BadValue):
            parse(bad)
