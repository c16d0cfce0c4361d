"""Learning: what strangers get, what they cannot get, and what is forgotten."""

from __future__ import annotations

from ipaddress import IPv4Interface

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from controller.compiler.compile import compile_topology
from controller.flow.tables import Field, SetField, Table
from controller.messages import Event, Limited, encode
from controller.runtime.commands import Send
from controller.runtime.learning import Learning, Limits, Outcome
from controller.runtime.packets import read
from tests.unit.controller_runtime import made_packets
from tests.unit.controller_runtime.made_packets import arp_reply, arp_request, solicitation
from tests.unit.controller_runtime.small_lab import ring
from topologies.model.topology import Port, Router, Topology
from wire.mac import BROADCAST, link_local

STRANGER = 0x02AA00000001
H1, H2 = 0x020000000001, 0x020000000002
NEW = 0x0A000063


def at(switch: int, number: int = 3) -> Port:
    return Port(switch=f"s{switch}", number=number)


def told(outcomes: list[Outcome]) -> list[str]:
    return [outcome.NAME for outcome in outcomes if isinstance(outcome, Event)]


def sends(outcomes: list[Outcome]) -> list[Send]:
    return [outcome for outcome in outcomes if isinstance(outcome, Send)]


def test_a_stranger_is_learned_once_with_its_address() -> None:
    learning = Learning(ring())
    frame = arp_request(STRANGER, NEW, 0x0A000002)
    (event,) = learning.packet(at(1), Table.CLASSIFY, frame, 0)
    assert isinstance(event, Event)
    assert encode(event) == {
        "event": "learned", "network": "lan", "switch": "s1", "port": 3, "mac": "02:aa:00:00:00:01",
        "addresses": ["10.0.0.99"],
    }  # fmt: skip
    assert learning.changed
    learning.changed = False
    assert learning.packet(at(1), Table.CLASSIFY, frame, 1) == []
    assert not learning.changed
    (learned,) = learning.learned()
    assert (learned.mac, str(learned.ipv4), learned.ipv6) == (STRANGER, "10.0.0.99", None)


def test_the_files_hosts_and_its_addresses_cannot_be_taken() -> None:
    learning = Learning(ring())
    assert told(learning.packet(at(1), Table.CLASSIFY, arp_request(H2, NEW, 1), 0)) == ["limited"]
    assert learning.stations == ()
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, 0x0A000002, 1), 0)
    assert learning.stations[0].ipv4 == ()


def test_addresses_outside_the_subnet_and_group_macs_are_not_believed() -> None:
    learning = Learning(ring())
    out = learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, 0x08080808, 1), 0)
    assert learning.stations[0].ipv4 == ()
    (said,) = [outcome.message for outcome in out if isinstance(outcome, Limited)]
    assert said.startswith("s1:3: 8.8.8.8 is outside the subnets of network lan (10.0.0.0/")
    assert told(learning.packet(at(1), Table.RESOLVE, arp_request(STRANGER, 0x08080808, 1), 0)) == []
    for mac in (0, 0x010000000001, BROADCAST):
        assert learning.packet(at(2), Table.CLASSIFY, arp_request(mac, NEW, 1), 0) == []
    assert len(learning.stations) == 1


def test_a_station_that_moves_is_followed_and_keeps_its_address() -> None:
    learning = Learning(ring())
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 0)
    frame = STRANGER.to_bytes(6, "big").rjust(12, b"\x02") + b"\x88\xb5"
    (event,) = learning.packet(at(2), Table.CLASSIFY, frame, 1)
    assert isinstance(event, Event)
    assert encode(event)["from"] == "s1:3"
    assert [(s.port, s.ipv4) for s in learning.stations] == [(at(2), (NEW,))]


def test_an_address_belongs_to_who_used_it_last() -> None:
    learning = Learning(ring())
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 0)
    learning.packet(at(2), Table.CLASSIFY, arp_request(STRANGER + 1, NEW, 1), 0)
    assert [s.ipv4 for s in learning.stations] == [(), (NEW,)]


def test_what_comes_from_a_link_is_nobodys() -> None:
    learning = Learning(ring())
    assert learning.packet(at(1, 1), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 0) == []
    assert learning.stations == ()


def test_silent_stations_are_due_then_forgotten_and_heard_ones_stay() -> None:
    learning = Learning(ring(), Limits(idle=300))
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 0)
    learning.packet(at(2), Table.CLASSIFY, arp_request(STRANGER + 1, NEW + 1, 1), 10)
    assert learning.due(299) == []
    assert [s.mac for s in learning.due(300)] == [STRANGER]
    learning.heard("lan", STRANGER, 300)
    assert [s.mac for s in learning.due(310)] == [STRANGER + 1]
    assert told(learning.age("lan", STRANGER + 1)) == ["aged"]
    assert learning.age("lan", STRANGER + 1) == []
    assert [s.mac for s in learning.stations] == [STRANGER]
    assert learning.next_due() is not None


def test_a_new_intent_drops_stations_that_it_leaves_no_place_for() -> None:
    learning = Learning(ring())
    learning.packet(at(4), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 0)
    learning.packet(at(2), Table.CLASSIFY, arp_request(STRANGER + 1, NEW + 1, 1), 0)
    learning.replace(ring(3))
    assert [s.port for s in learning.stations] == [at(2)]
    assert learning.next_due() is not None


def test_a_million_invented_addresses_stay_within_the_limits() -> None:
    limits = Limits()
    learning = Learning(ring(), limits)
    complaints = 0
    for number in range(100_000):  # ten seconds at 10,000 a second; more would only take longer
        frame = arp_request(0x02BB00000000 + number, NEW, 0x0A000100 + number)
        out = learning.packet(at(1), Table.CLASSIFY, frame, number / 10_000)
        complaints += len(told(out)) - told(out).count("learned")
        assert not sends(out)
    assert len(learning.stations) == limits.stations_per_port
    assert complaints <= 6
    assert len(learning.reports) <= 3
    # and nobody else notices
    assert told(learning.packet(at(2), Table.CLASSIFY, arp_request(STRANGER, NEW, 1), 10)) == ["learned"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5),
            st.integers(1, 4),
            st.sampled_from([Table.CLASSIFY, Table.RESOLVE]),
            st.one_of(
                st.binary(max_size=90),
                st.builds(
                    arp_request,
                    st.sampled_from([H1, STRANGER, STRANGER + 1, STRANGER + 2]),
                    st.sampled_from([0x0A000001, NEW, NEW + 1, 0]),
                    st.sampled_from([0x0A000002, NEW, NEW + 2]),
                ),
                st.builds(
                    solicitation,
                    st.sampled_from([H1, STRANGER, STRANGER + 1]),
                    st.sampled_from([link_local(STRANGER), 0, 0x20010DB8 << 96 | 7]),
                    st.sampled_from([link_local(H2), link_local(STRANGER), 0x20010DB8 << 96 | 7]),
                ),
            ),
        ),
        max_size=40,
    )
)
def test_indexes_agree_and_nothing_goes_to_a_link(steps: list[tuple[int, int, Table, bytes]]) -> None:
    learning = Learning(ring())
    for now, (switch, number, table, frame) in enumerate(steps):
        for send in sends(learning.packet(at(switch, number), table, frame, float(now))):
            assert send.port.number == 3
        owners = {
            (s.network, family, address): s.mac
            for s in learning.stations
            for family, some in ((4, s.ipv4), (6, s.ipv6))
            for address in some
        }
        assert learning.index.owners == owners
        assert sum(map(len, learning.index.at.values())) == len(learning.stations) == len(learning.index.seen)


def strict() -> Topology:
    """The ring, of which only h1's port takes strangers."""
    topology = ring()
    hosts = (
        topology.hosts[0],
        *(host.model_copy(update={"allow_spoofing": False}) for host in topology.hosts[1:]),
    )
    return topology.model_copy(update={"hosts": hosts})


def test_stations_of_a_port_that_no_longer_takes_strangers_are_forgotten() -> None:
    learning = Learning(ring())
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, NEW, 0x0A000002), 0)
    learning.packet(at(2), Table.CLASSIFY, arp_request(STRANGER + 1, NEW + 1, 0x0A000002), 0)
    known = learning.stations
    learning.replace(strict())
    assert [station.port for station in learning.stations] == [at(1)]
    other = Learning(strict())
    other.restore(known, 1)
    assert [station.port for station in other.stations] == [at(1)]


def routed() -> Topology:
    topology = ring()
    network = topology.networks[0].model_copy(update={"gateway4": IPv4Interface("10.0.0.254/24")})
    router = Router(name="t", networks=("lan",))
    return topology.model_copy(update={"networks": (network,), "routers": (router,)})


def test_nobody_becomes_the_gateway() -> None:
    learning = Learning(routed())
    gateway, address = 0x00005E000101, 0x0A0000FE
    assert told(learning.packet(at(1), Table.CLASSIFY, arp_request(gateway, NEW, 0x0A000002), 0)) == [
        "limited"
    ]
    learning.packet(at(1), Table.CLASSIFY, arp_request(STRANGER, address, 0x0A000002), 0)
    (station,) = learning.stations
    assert station.mac == STRANGER and not station.ipv4


def test_a_packet_without_hops_is_answered_by_the_gateway_and_teaches_nothing() -> None:
    learning = Learning(routed())
    frame = bytes(
        Ether(src="02:aa:00:00:00:01", dst="00:00:5e:00:01:01")
        / IP(src="10.0.0.1", dst="10.9.0.9", ttl=1)
        / UDP()
    )
    ((port, answer),) = learning.packet(at(1), Table.ROUTE, frame, 0)
    assert port == at(1) and Ether(answer)[IP].src == "10.0.0.254" and Ether(answer)[ICMP].type == 11
    assert not learning.stations
    assert not Learning(ring()).packet(at(1), Table.ROUTE, frame, 0)


SHARED = 0x0A0000C8
"""An address that h1 and h2 take over from each other, as VRRP's routers do (RFC 9568)."""


def gratuitous(mac: int, address: int, kind: str = "request") -> bytes:
    """What keepalived sends (RFC 5227, 3): its own address asked for, or told to all."""
    if kind == "request":
        return arp_request(mac, address, address)
    return arp_reply(mac, address, BROADCAST, address)


@pytest.mark.parametrize("kind", ["request", "reply"])
def test_an_address_moves_between_the_files_hosts_as_soon_as_one_says_so(kind: str) -> None:
    learning = Learning(ring())
    for now, (mac, port) in enumerate([(H1, at(1)), (H2, at(2)), (H1, at(1))]):
        frame = gratuitous(mac, SHARED, kind)
        out = learning.packet(port, Table.CLASSIFY, frame, now / 10)
        assert learning.changed, "at once"
        assert told(out) == ["learned"]
        (learned,) = learning.learned()
        assert (learned.mac, learned.port, int(learned.ipv4 or 0)) == (mac, port, SHARED)
        learning.changed = False


def test_an_advertisement_that_nobody_asked_for_moves_an_address() -> None:
    learning = Learning(ring())
    shared = 0x20010DB8 << 96 | 0xC8
    for now, (mac, port) in enumerate([(H1, at(1)), (H2, at(2))]):
        frame = made_packets.advertisement(mac, shared, 0, 0)
        assert told(learning.packet(port, Table.CLASSIFY, frame, now)) == ["learned"]
        assert [(station.mac, int(station.ipv6 or 0)) for station in learning.learned()] == [(mac, shared)]


def test_many_addresses_of_one_host_are_all_in_the_tables() -> None:
    learning = Learning(ring())
    for number in range(5):
        learning.packet(at(1), Table.CLASSIFY, gratuitous(H1, SHARED + number), number)
    tables = compile_topology(ring(), learned=learning.learned())
    for table in tables.values():
        asked = [f for f in table.flows if f.table is Table.RESOLVE and Field("arp_op", 1) in f.match]
        answered = {field.value for f in asked if f.actions for field in f.match if field.name == "arp_tpa"}
        assert {SHARED + number for number in range(5)} <= answered
        silent = [f for f in asked if f.goto is Table.FORWARD and Field("arp_spa", SHARED) in f.match]
        assert len(silent) == 1, "who announces its address is not told that somebody has it"


def test_what_the_file_says_is_moved_by_nobody() -> None:
    learning = Learning(ring())
    assert learning.packet(at(2), Table.CLASSIFY, gratuitous(H2, 0x0A000001), 0) == []
    assert learning.packet(at(1), Table.CLASSIFY, gratuitous(H1, 0x0A000001), 0) == []
    assert not learning.stations and not learning.changed


CHANGED = 0x02CC00000005


@pytest.mark.parametrize(
    "frame", [arp_request(CHANGED, 0x0A000001, 0x0A000002), gratuitous(CHANGED, 0x0A000001)]
)
def test_a_host_that_may_send_from_any_source_can_change_its_mac_address(frame: bytes) -> None:
    learning = Learning(ring())
    h1 = ring().hosts[0]
    out = learning.packet(at(1), Table.CLASSIFY, frame, 0)
    (station,) = learning.stations
    assert (station.mac, station.ipv4) == (CHANGED, (0x0A000001,))
    assert set(station.ipv6) >= {int(h1.ipv6.ip), link_local(H1)} if h1.ipv6 else not station.ipv6
    heard = {send.port for send in sends(out)}
    assert heard == {at(other) for other in (2, 3, 4)}, "caches of all others"
    assert all(read(send.frame).eth_src == CHANGED for send in sends(out))  # type: ignore[union-attr]
    for table in compile_topology(ring(), learned=learning.learned()).values():
        (answer,) = [
            f for f in table.flows if f.table is Table.RESOLVE and Field("arp_tpa", 0x0A000001) in f.match
            and Field("arp_op", 1) in f.match and f.actions
        ]  # fmt: skip
        assert SetField("arp_sha", CHANGED) in answer.actions

    # twice, and back
    learning.packet(at(1), Table.CLASSIFY, gratuitous(CHANGED + 1, 0x0A000001), 1)
    assert [(s.mac, s.ipv4) for s in learning.stations if s.ipv4] == [(CHANGED + 1, (0x0A000001,))]
    learning.changed = False
    out = learning.packet(at(1), Table.CLASSIFY, gratuitous(H1, 0x0A000001), 2)
    assert learning.changed and not any(s.ipv4 or s.ipv6 for s in learning.stations)
    assert {read(send.frame).eth_src for send in sends(out)} == {H1}  # type: ignore[union-attr]
    assert compile_topology(ring(), learned=learning.learned()) is not None


def test_only_at_its_own_port() -> None:
    learning = Learning(ring())
    learning.packet(at(2), Table.CLASSIFY, gratuitous(CHANGED, 0x0A000001), 0)
    assert not any(s.ipv4 for s in learning.stations)
    learning = Learning(strict())
    learning.packet(at(2), Table.CLASSIFY, gratuitous(CHANGED, 0x0A000002), 0)
    assert not any(s.ipv4 for s in learning.stations), "h2 may send from its own address only"


def test_who_forwards_for_others_claims_nothing() -> None:
    learning = Learning(ring())
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.200", dst="10.0.0.2")
    )
    assert learning.packet(at(1), Table.CLASSIFY, frame, 0) == []
    assert not learning.stations


def test_a_host_that_moves_takes_its_addresses_along() -> None:
    learning = Learning(ring())
    learning.packet(at(1), Table.CLASSIFY, gratuitous(H1, SHARED), 0)
    hosts = ring().hosts
    moved = hosts[0].model_copy(update={"port": at(3, 9)})
    learning.replace(ring().model_copy(update={"hosts": (moved, *hosts[1:])}))
    assert [(station.port, station.ipv4) for station in learning.stations] == [(at(3, 9), (SHARED,))]
