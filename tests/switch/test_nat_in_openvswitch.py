"""An address translator's flows in a real Open vSwitch, with real packets."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.compiler.functions.echoes import SUBSTITUTES, substitute_key
from controller.messages import NatExhausted
from controller.openflow import messages
from controller.runtime.commands import Emit, Resume
from controller.runtime.echoes import Echoes
from controller.runtime.exhausted import Exhausted
from controller.runtime.verdicts import Punt
from tests.cases.frames import datagrams, fragments, ping, udp
from tests.switch.ovs import Vswitch
from tests.switch.traffic import Bridge
from tests.unit.controller.made_service import chain_lab, host, surrounded
from topologies.model.functions import Forward, Nat
from topologies.model.topology import Port, Topology

OUTSIDE, NMAC = "10.9.0.200", "02:00:00:00:09:c8"
SERVER = "10.9.0.2"
INSIDE = (host(1), host(3))
PORT = Port(switch="s", number=1)


def translated() -> Topology:
    inside = IPv4Interface("10.9.0.3/24")
    forwards = tuple(
        Forward(protocol=protocol, port=port, host="h3", ipv4=inside, to_port=to)
        for protocol, port, to in (("tcp", 8022, 22), ("udp", 53, 5353), ("udp", 54, 5454))
    )
    nat = Nat(network="n", mac=NMAC, ipv4=IPv4Interface(f"{OUTSIDE}/24"), forwards=forwards)
    return chain_lab("nat", hosts=(*INSIDE, host(2)), nat=nat)


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    opened = Bridge(vswitch, "nat", (1, 2), tmp_path)
    opened.forget()
    opened.program(surrounded(translated()))
    yield opened
    opened.close()


def out(number: int, body: Packet) -> bytes:
    """A packet of an inside host to the server."""
    source = host(number)
    assert source.ipv4 is not None
    return bytes(Ether(src=source.mac, dst=host(2).mac) / IP(src=str(source.ipv4.ip), dst=SERVER) / body)


def back(body: Packet, source: str = SERVER) -> bytes:
    """A packet of the server to the translator."""
    return bytes(Ether(src=host(2).mac, dst=NMAC) / IP(src=source, dst=OUTSIDE) / body)


def test_a_connection_is_masqueraded_and_its_replies_come_home(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, TCP(sport=30000, dport=80, flags="S", seq=9))], 2)[2]
    got = Ether(there)
    assert (got.src, got.dst, got[IP].src, got[IP].dst) == (NMAC, host(2).mac, OUTSIDE, SERVER)
    port = got[TCP].sport
    assert port >= 1024
    (home,) = bridge.send(2, [back(TCP(sport=80, dport=port, flags="SA", seq=5, ack=10))], 1)[1]
    got = Ether(home)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(1).mac, "10.9.0.1", 30000, SERVER)
    wanted = (got[IP].chksum, got[TCP].chksum)
    del got[IP].chksum, got[TCP].chksum
    again = Ether(bytes(got))
    assert (again[IP].chksum, again[TCP].chksum) == wanted


def test_two_hosts_with_the_same_port_get_two(bridge: Bridge) -> None:
    frames = [out(number, UDP(sport=5000, dport=53) / Raw(b"question")) for number in (1, 3)]
    there = [Ether(frame) for frame in bridge.send(1, frames, 2)[2]]
    ports = [frame[UDP].sport for frame in there]
    assert len(set(ports)) == 2
    answers = [back(UDP(sport=53, dport=port) / Raw(b"answer")) for port in ports]
    home = [Ether(frame) for frame in bridge.send(2, answers, 1)[1]]
    assert [(frame.dst, frame[IP].dst, frame[UDP].dport) for frame in home] == [
        (host(1).mac, "10.9.0.1", 5000),
        (host(3).mac, "10.9.0.3", 5000),
    ]


def test_what_nobody_asked_for_is_dropped(bridge: Bridge) -> None:
    frames = [
        back(TCP(sport=80, dport=30000, flags="S")),
        back(UDP(sport=53, dport=5000) / Raw(b"unasked")),
        back(ICMP(type=8)),
        bytes(Ether(src=host(2).mac, dst=host(1).mac) / IP(src=SERVER, dst="10.9.0.1") / UDP(dport=9)),
    ]
    assert bridge.send(2, frames, 1)[1] == []


def test_a_forwarded_port_reaches_its_host(bridge: Bridge) -> None:
    (there,) = bridge.send(2, [back(TCP(sport=40000, dport=8022, flags="S", seq=7))], 1)[1]
    got = Ether(there)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(3).mac, "10.9.0.3", 22, SERVER)
    answer = out(3, TCP(sport=22, dport=40000, flags="SA", seq=1, ack=8))
    (home,) = bridge.send(1, [answer], 2)[2]
    got = Ether(home)
    assert (got.src, got[IP].src, got[TCP].sport) == (NMAC, OUTSIDE, 8022)


def test_an_error_about_a_masqueraded_packet_comes_home(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, UDP(sport=5000, dport=53) / Raw(b"question"))], 2)[2]
    about = Raw(bytes(Ether(there)[IP]))
    for source in (SERVER, "10.9.0.77"):
        (home,) = bridge.send(2, [back(ICMP(type=3, code=3) / about, source)], 1)[1]
        got = Ether(home)
        assert (got.dst, got[IP].src, got[IP].dst) == (host(1).mac, source, "10.9.0.1")
        inner = got[ICMP].payload
        assert (inner.src, inner.sport, inner.dst) == ("10.9.0.1", 5000, SERVER)


def test_an_echo_is_masqueraded(bridge: Bridge) -> None:
    (there,) = bridge.send(1, [out(1, ICMP(type=8, id=9, seq=1) / Raw(b"echo"))], 2)[2]
    got = Ether(there)
    assert got[IP].src == OUTSIDE
    (home,) = bridge.send(2, [back(ICMP(type=0, id=got[ICMP].id, seq=1) / Raw(b"echo"))], 1)[1]
    assert (Ether(home)[IP].dst, Ether(home)[ICMP].id) == ("10.9.0.1", 9)


def translating(
    bridge: Bridge,
    port: int,
    frames: list[bytes],
    far: int,
    by_controller: int,
    unanswered: list[Punt] | None = None,
) -> list[bytes]:
    """What comes out at ``far`` when the controller does its part, which is to get so many packets; those
    that it has no answer to are ``unanswered``."""
    echoes = Echoes(translated())
    out = bridge.send(port, frames, far)[far]
    while by_controller:
        packet_ins = bridge.packet_ins(1)
        by_controller -= len(packet_ins)
        for packet_in in packet_ins:
            port_of, known = Port(switch="s", number=packet_in.in_port), packet_in.fields.items()
            punt = Punt(port_of, packet_in.cookie, packet_in.data, {k: v for k, v in known if "reg" in k})
            commands = echoes.packet(punt, 1.0)
            if commands is None and unanswered is not None:
                unanswered.append(punt)
            for resume in commands or []:
                assert isinstance(resume, Resume)
                bridge.tell(messages.packet_out(resume.in_port, resume.actions, resume.frame))
        out += bridge.send(port, [], far)[far]
    assert not bridge.packet_ins(0)
    return out


def sound(frame: bytes) -> Packet:
    """The packet, its checksums verified."""
    got = Ether(frame)
    wanted = (got[IP].chksum, got[ICMP].chksum)
    del got[IP].chksum, got[ICMP].chksum
    correct = Ether(bytes(got))
    assert (correct[IP].chksum, correct[ICMP].chksum) == wanted
    return correct


def test_pings_of_two_hosts_with_one_identifier_are_told_apart(bridge: Bridge) -> None:
    for seq in range(3):
        asked = {n: out(n, ICMP(type=8, id=77, seq=seq) / Raw(b"from %d" % n)) for n in (1, 3)}
        # the one that came later goes by the controller
        there = translating(bridge, 1, [asked[1], asked[3]], 2, 1)
        got = [sound(frame) for frame in there]
        assert [(echo.src, echo[IP].src, echo[Raw].load) for echo in got] == [
            (NMAC, OUTSIDE, b"from 1"), (NMAC, OUTSIDE, b"from 3")
        ]  # fmt: skip
        assert got[0][ICMP].id == 77 != got[1][ICMP].id
        replies = [
            back(ICMP(type=0, id=echo[ICMP].id, seq=seq) / Raw(echo[Raw].load)) for echo in reversed(got)
        ]
        home = translating(bridge, 2, replies, 1, 1)
        assert sorted((e.dst, e[IP].dst, e[ICMP].id, e[Raw].load) for e in map(sound, home)) == [
            (host(n).mac, f"10.9.0.{n}", 77, b"from %d" % n) for n in (1, 3)
        ]


def collided(bridge: Bridge, size: int = 9) -> tuple[list[bytes], int]:
    """Two hosts ping with one identifier; the second one's echo outside, and its identifier there."""
    asked = [out(n, ICMP(type=8, id=77, seq=n) / Raw(bytes(range(64)) * (size // 64))) for n in (1, 3)]
    first, second = (fragments(echo) if size > 1400 else [echo] for echo in asked)
    translating(bridge, 1, first, 2, 0)
    there = translating(bridge, 1, second, 2, len(second))
    assert len(there) == len(second)
    return there, int(Ether(there[0])[ICMP].id)


def test_an_error_about_an_echo_with_another_identifier_names_the_hosts_own(bridge: Bridge) -> None:
    (there,), _ = collided(bridge)
    error = back(ICMP(type=11, code=0) / Raw(bytes(Ether(there)[IP])), "10.9.0.77")
    (home,) = translating(bridge, 2, [error], 1, 1)
    got = sound(home)
    assert (got.dst, got[IP].dst) == (host(3).mac, "10.9.0.3")
    inner = IP(bytes(got[ICMP].payload))
    assert (inner.src, inner.dst, inner[ICMP].id) == ("10.9.0.3", SERVER, 77)
    was, inner[ICMP].chksum = inner[ICMP].chksum, None
    assert IP(bytes(inner))[ICMP].chksum == was


def test_large_pings_with_one_identifier_go_in_fragments(bridge: Bridge) -> None:
    there, ident = collided(bridge, 3200)
    (whole,) = datagrams(there)
    message = ICMP(whole[-1])
    assert message.id == ident and bytes(message) == bytes(ICMP(type=8, id=ident, seq=3) / message.payload)
    answer = back(ICMP(type=0, id=ident, seq=3) / message.payload)
    home = translating(bridge, 2, fragments(answer)[::-1], 1, 3)
    (whole,) = datagrams(home)
    wanted = out(3, ICMP(type=0, id=77, seq=3) / message.payload)
    assert whole[-1] == bytes(Ether(wanted)[ICMP]) and len(home) == 3


def test_a_host_may_use_the_identifier_that_its_other_ping_has_outside(bridge: Bridge) -> None:
    (_,), ident = collided(bridge)
    # its own query that begins with the identifier which the translator has made of the other one's
    (there,) = translating(bridge, 1, [out(3, ICMP(type=8, id=ident, seq=9))], 2, 2)
    other = Ether(there)[ICMP].id
    assert other not in (77, ident)
    for number, its_own in ((ident, 77), (other, ident)):
        (home,) = translating(bridge, 2, [back(ICMP(type=0, id=number, seq=9))], 1, 1)
        assert (sound(home)[IP].dst, Ether(home)[ICMP].id) == ("10.9.0.3", its_own)
    # and the other way round: what has a substitute finds it taken by a query of its host
    bridge.forget()
    translating(bridge, 1, [out(3, ICMP(type=8, id=ident, seq=1)), out(1, ICMP(type=8, id=77, seq=1))], 2, 0)
    (there,) = translating(bridge, 1, [out(3, ICMP(type=8, id=77, seq=1))], 2, 2)
    other = Ether(there)[ICMP].id
    assert other not in (77, ident)
    (home,) = translating(bridge, 2, [back(ICMP(type=0, id=other, seq=1))], 1, 1)
    assert Ether(home)[ICMP].id == 77


def test_when_no_substitute_is_left_it_is_told(bridge: Bridge) -> None:
    told, last = Exhausted(translated()), list[Punt]()
    inside = int(IPv4Address("10.9.0.3"))
    taken = [77 ^ substitute_key(inside, number) for number in range(SUBSTITUTES + 1)]
    translating(bridge, 1, [out(1, ICMP(type=8, id=ident, seq=1)) for ident in taken], 2, 0)
    assert not translating(bridge, 1, [out(3, ICMP(type=8, id=77, seq=1))], 2, 5, last)
    (event,) = told.packet(last[-1], 1.0) or []
    assert isinstance(event, Emit) and isinstance(event.event, NatExhausted)
    message = "f has no identifier for an echo free for a new connection, which is dropped"
    assert event.event.message == message


def test_fragments_are_masqueraded(bridge: Bridge) -> None:
    long = out(1, UDP(sport=5000, dport=53) / Raw(bytes(3000)))
    (whole,) = datagrams(bridge.send(1, fragments(long), 2)[2])
    assert whole[1] == IP(src=OUTSIDE, dst=SERVER).build()[12:20] and len(whole[-1]) == 3008


def test_ipv6_and_what_is_no_ip_pass_untouched(bridge: Bridge) -> None:
    frames = [udp("there", version=6), ping("there", version=6)]
    assert bridge.send(1, frames, 2)[2] == frames


def test_a_first_datagram_in_fragments_reaches_the_host_that_its_port_is_forwarded_to(bridge: Bridge) -> None:
    for port, to in ((53, 5353), (54, 5454)):
        parts = fragments(back(UDP(sport=7000 + port, dport=port) / Raw(bytes(3000))))
        for order in (parts, parts[::-1]):
            bridge.forget()
            (whole,) = datagrams(bridge.send(2, order, 1)[1])
            assert whole[1] == IP(src=SERVER, dst="10.9.0.3").build()[12:20]
            assert int.from_bytes(whole[-1][2:4], "big") == to
    # and what is not forwarded stays outside
    assert bridge.send(2, fragments(back(UDP(sport=7, dport=55) / Raw(bytes(3000)))), 1)[1] == []


def test_inside_hosts_reach_a_forward_by_the_outside_address(bridge: Bridge) -> None:
    asked = Ether(src=host(1).mac, dst=NMAC) / IP(src="10.9.0.1", dst=OUTSIDE)
    (there,) = bridge.send(1, [bytes(asked / TCP(sport=30000, dport=8022, flags="S", seq=9))], 2)[2]
    got = Ether(there)
    assert (got.dst, got[IP].dst, got[TCP].dport, got[IP].src) == (host(3).mac, "10.9.0.3", 22, OUTSIDE)
    answer = Ether(src=host(3).mac, dst=NMAC) / IP(src="10.9.0.3", dst=OUTSIDE)
    answer /= TCP(sport=22, dport=got[TCP].sport, flags="SA", seq=1, ack=10)
    (home,) = bridge.send(1, [bytes(answer)], 2)[1]
    got = Ether(home)
    assert (got.dst, got[IP].src, got[TCP].sport, got[TCP].dport) == (host(1).mac, OUTSIDE, 8022, 30000)


def from_inside(number: int, body: Packet) -> bytes:
    """What a host sends to the translator's own address."""
    source = host(number)
    return bytes(Ether(src=source.mac, dst=NMAC) / IP(src=f"10.9.0.{number}", dst=OUTSIDE) / body)


def test_large_datagrams_from_inside_to_a_forward_are_turned_round(bridge: Bridge) -> None:
    for order in (1, -1):
        bridge.forget()
        for size in (3000, 4500):
            asked = from_inside(1, UDP(sport=5000, dport=53) / Raw(bytes(size)))
            arrived = bridge.send(1, fragments(asked)[::order], 2)[2]
            (whole,) = datagrams(arrived)
            assert {Ether(frame).dst for frame in arrived} == {host(3).mac}
            assert whole[1] == IP(src=OUTSIDE, dst="10.9.0.3").build()[12:20]
            source, to = (int.from_bytes(whole[-1][at : at + 2], "big") for at in (0, 2))
            assert source >= 1024 and to == 5353
            answer = from_inside(3, UDP(sport=5353, dport=source) / Raw(bytes(size)))
            home = bridge.send(1, fragments(answer)[::order], 2)[1]
            (whole,) = datagrams(home)
            assert {Ether(frame).dst for frame in home} == {host(1).mac}
            assert whole[1] == IP(src=OUTSIDE, dst="10.9.0.1").build()[12:20]
            assert whole[-1][:4] == bytes(UDP(sport=53, dport=5000))[:4]
    # and what is not forwarded goes nowhere
    asked = from_inside(1, UDP(sport=5000, dport=55) / Raw(bytes(3000)))
    assert not any(bridge.send(1, fragments(asked), 2).values())


def test_errors_about_what_was_turned_round_come_home(bridge: Bridge) -> None:
    asked = from_inside(1, UDP(sport=5000, dport=53) / Raw(b"question"))
    (there,) = bridge.send(1, [asked], 2)[2]
    error = from_inside(3, ICMP(type=3, code=3) / Raw(bytes(Ether(there)[IP])))
    (home,) = bridge.send(1, [error], 2)[1]
    got = sound(home)
    assert (got.dst, got[IP].src, got[IP].dst) == (host(1).mac, OUTSIDE, "10.9.0.1")
    inner = IP(bytes(got[ICMP].payload))
    assert (inner.src, inner.sport, inner.dst, inner.dport) == ("10.9.0.1", 5000, OUTSIDE, 53)
    # the other way round: about an answer
    answer = from_inside(3, UDP(sport=5353, dport=Ether(there)[UDP].sport) / Raw(b"answer"))
    (answered,) = bridge.send(1, [answer], 2)[1]
    error = from_inside(1, ICMP(type=3, code=3) / Raw(bytes(Ether(answered)[IP])))
    (told,) = bridge.send(1, [error], 2)[2]
    got = sound(told)
    assert (got.dst, got[IP].src, got[IP].dst) == (host(3).mac, OUTSIDE, "10.9.0.3")
    inner = IP(bytes(got[ICMP].payload))
    assert (inner.src, inner.sport, inner.dst, inner.dport) == (
        "10.9.0.3", 5353, OUTSIDE, Ether(there)[UDP].sport
    )  # fmt: skip


def test_the_controller_hears_when_no_port_is_free(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.compiler.functions.nat.PORTS", (2000, 2001))
    topology = translated()
    bridge.program(surrounded(topology))
    frames = [out(1, UDP(sport=5000 + number, dport=99) / Raw(b"x")) for number in range(4)]
    there = bridge.send(1, frames, 2)[2]
    assert {Ether(frame)[UDP].sport for frame in there} == {2000, 2001} and len(there) == 2
    told = Exhausted(topology)
    events = [
        told.packet(Punt(PORT, packet_in.cookie, packet_in.data, {}), 1.0)
        for packet_in in bridge.packet_ins(2)
    ]
    (first,), second = events
    assert isinstance(first, Emit) and isinstance(first.event, NatExhausted) and not second
    assert (first.event.function, first.event.message) == (
        "f",
        "f has no port free for a new connection, which is dropped",
    )
    # a connection that has its port keeps it
    assert len(bridge.send(1, frames[:1], 2)[2]) == 1
