"""A load balancer's flows in a real Open vSwitch, with real packets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.cases.frames import datagrams, error, fragments
from tests.switch.ovs import Vswitch
from tests.switch.traffic import Bridge
from tests.unit.controller.made_service import chain_lab, host, surrounded
from topologies.model.functions import Backend, Balancer
from topologies.model.topology import Host, Port, Topology

VIP, VIP6, VMAC = "10.9.0.100", "2001:db8:9::64", "02:00:00:00:09:64"
CLIENT = host(1)


def servers(count: int) -> tuple[Host, ...]:
    return tuple(host(10 + number, port=10 + number, name=f"web{number}") for number in range(1, count + 1))


def balanced(
    count: int = 3, weights: tuple[int, ...] = (), used: int | None = None, **some: object
) -> Topology:
    """A lab with ``count`` servers, of which the first ``used`` are backends."""
    here = servers(count)
    backends = tuple(
        Backend(host=server.name, mac=server.mac, ipv4=server.ipv4, ipv6=server.ipv6, port=8080,
                weight=weights[number] if weights else 1)
        for number, server in enumerate(here[:used])
    )  # fmt: skip
    service = Balancer(
        network="n", at=Port(switch="s", number=9), mac=VMAC, ipv4=IPv4Interface(f"{VIP}/24"),
        ipv6=IPv6Interface(f"{VIP6}/64"), port=80, backends=backends, **some,
    )  # fmt: skip
    return chain_lab("load-balancer", hosts=(CLIENT, *here), balancer=service)


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    opened = Bridge(vswitch, "lb", (1, 2), tmp_path)
    opened.forget()
    yield opened
    opened.close()


def ask(number: int, flags: str = "S", version: int = 4, port: int = 80) -> bytes:
    """A segment of the client's ``number``-th connection."""
    head: Packet = IP(src="10.9.0.1", dst=VIP) if version == 4 else IPv6(src="2001:db8:9::1", dst=VIP6)
    segment = TCP(sport=20000 + number, dport=port, flags=flags, seq=1000 if flags == "S" else 1001, ack=5001)
    return bytes(Ether(src=CLIENT.mac, dst=VMAC) / head / segment)


def many(count: int, first: int = 0) -> list[bytes]:
    """SYNs of many connections, quickly: all differ in the client's port and last octet of sequence alone."""
    packets = []
    for number in range(first, first + count):
        packet = bytearray(ask(0))
        old = packet[34:36]
        packet[34:36] = (20000 + number).to_bytes(2, "big")
        total = int.from_bytes(packet[50:52], "big") + int.from_bytes(old, "big")
        total = total - (20000 + number)
        while total < 0:
            total += 0xFFFF
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        packet[50:52] = total.to_bytes(2, "big")
        packets.append(bytes(packet))
    return packets


def answer(question: bytes, flags: str) -> bytes:
    """The segment with which a backend answers one that has reached it."""
    got = Ether(question)
    head: Packet = IP if IP in got else IPv6
    said = TCP(sport=got[TCP].dport, dport=got[TCP].sport, flags=flags, seq=5000, ack=1001)
    return bytes(Ether(src=got.dst, dst=got.src) / head(src=got[head].dst, dst=got[head].src) / said)


def chosen(frames: list[bytes]) -> dict[int, str]:
    """The client's port -> the address of the backend that got it."""
    return {int.from_bytes(f[34:36], "big"): ".".join(map(str, f[30:34])) for f in frames}


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_is_translated_there_and_back(bridge: Bridge, version: int) -> None:
    topology = balanced()
    bridge.program(surrounded(topology))
    (there,) = bridge.send(1, [ask(1, version=version)], 2)[2]
    got, head = Ether(there), IP if version == 4 else IPv6
    reached = next(known for known in topology.hosts if known.mac == got.dst)
    address = reached.ipv4 if version == 4 else reached.ipv6
    assert address is not None and got[head].dst == str(address.ip) and reached.name.startswith("web")
    assert (got.src, got[TCP].dport, got[TCP].sport) == (CLIENT.mac, 8080, 20001)
    (back,) = bridge.send(2, [answer(there, "SA")], 1)[1]
    got = Ether(back)
    assert (got.src, got.dst, got[head].src) == (VMAC, CLIENT.mac, VIP if version == 4 else VIP6)
    assert (got[TCP].sport, got[TCP].dport) == (80, 20001)
    (more,) = bridge.send(1, [ask(1, "A", version)], 2)[2]
    assert Ether(more).dst == reached.mac


def test_checksums_are_right_after_translation(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced()))
    (there,) = bridge.send(1, [ask(1)], 2)[2]
    (back,) = bridge.send(2, [answer(there, "SA")], 1)[1]
    for frame in (there, back):
        packet = Ether(frame)
        wanted = (packet[IP].chksum, packet[TCP].chksum)
        del packet[IP].chksum, packet[TCP].chksum
        again = Ether(bytes(packet))
        assert (again[IP].chksum, again[TCP].chksum) == wanted


def test_connections_keep_their_backend_when_the_set_changes(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced(4)))
    first = chosen(bridge.send(1, many(60), 2)[2])
    assert len(first) == 60 and len(set(first.values())) == 4
    for tables in (
        surrounded(balanced(4), failed=frozenset(("f/web2",))),
        surrounded(balanced(4, used=2)),
        surrounded(balanced(4, used=3)),
    ):
        bridge.program(tables)
        assert chosen(bridge.send(1, [ask(n, "A") for n in range(60)], 2)[2]) == first
    # and new ones go to live backends alone
    bridge.program(surrounded(balanced(4), failed=frozenset(("f/web2",))))
    later = chosen(bridge.send(1, many(60, 100), 2)[2])
    assert len(later) == 60 and set(later.values()) == {"10.9.0.11", "10.9.0.13", "10.9.0.14"}


def test_only_the_share_of_a_backend_that_goes_or_comes_moves(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced(5)))
    before = chosen(bridge.send(1, many(200), 2)[2])
    bridge.forget()
    bridge.program(surrounded(balanced(5), failed=frozenset(("f/web3",))))
    without = chosen(bridge.send(1, many(200), 2)[2])
    assert {port for port in before if before[port] != without[port]} == {
        port for port in before if before[port] == "10.9.0.13"
    }
    assert len({without[port] for port in before if before[port] == "10.9.0.13"}) == 4
    bridge.forget()
    bridge.program(surrounded(balanced(5)))
    assert chosen(bridge.send(1, many(200), 2)[2]) == before


def test_the_source_alone_chooses_when_it_should(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced(5, hash="source")))
    assert len(set(chosen(bridge.send(1, many(50), 2)[2]).values())) == 1


def test_weights_are_shares(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced(2, (3, 1))))
    count = Counter(chosen(bridge.send(1, many(2000), 2)[2]).values())
    # binomial: 1500 and 500, with a standard deviation of 19
    assert abs(count["10.9.0.11"] - 1500) < 5 * 19, count


def test_all_down_passes_untouched(bridge: Bridge) -> None:
    failed = frozenset(f"f/web{number}" for number in (1, 2, 3))
    bridge.program(surrounded(balanced(), failed=failed))
    frame = ask(1)
    assert bridge.send(1, [frame], 2)[2] == [frame]


def test_what_is_no_balanced_connection_passes_untouched(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced()))
    web = servers(1)[0]
    base = Ether(src=web.mac, dst=CLIENT.mac) / IP(src="10.9.0.11", dst="10.9.0.1")
    answers = [bytes(base / TCP(sport=8080, dport=999, flags=flags, ack=1)) for flags in ("SA", "A", "R")]
    answers.append(bytes(base / UDP(sport=8080, dport=999) / Raw(b"datagram")))
    assert bridge.send(2, answers, 1)[1] == answers
    direct = Ether(src=CLIENT.mac, dst=web.mac) / IP(src="10.9.0.1", dst="10.9.0.11")
    elsewhere = [ask(1, port=81), bytes(direct / TCP(dport=80, flags="S"))]
    assert bridge.send(1, elsewhere, 2)[2] == elsewhere


def test_errors_about_a_balanced_connection_are_translated(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced()))
    (there,) = bridge.send(1, [ask(1)], 2)[2]
    reached = Ether(there)
    about = Ether(error("back", there))
    about.src, about.dst, about[IP].src = reached.dst, CLIENT.mac, reached[IP].dst
    del about[IP].chksum
    (back,) = bridge.send(2, [bytes(about)], 1)[1]
    got = Ether(back)
    assert (got.src, got[IP].src, got[IP].dst) == (VMAC, VIP, "10.9.0.1")
    inner = got[IP].payload.payload
    assert (inner.src, inner.dst, inner.dport) == ("10.9.0.1", VIP, 80)


def test_datagrams_and_fragments_are_balanced(bridge: Bridge) -> None:
    bridge.program(surrounded(balanced(protocol="udp")))
    base = Ether(src=CLIENT.mac, dst=VMAC) / IP(src="10.9.0.1", dst=VIP)
    (there,) = bridge.send(1, [bytes(base / UDP(sport=7, dport=80) / Raw(b"short"))], 2)[2]
    got = Ether(there)
    (again,) = bridge.send(1, [bytes(base / UDP(sport=7, dport=80) / Raw(b"more"))], 2)[2]
    assert Ether(again).dst == got.dst and got[UDP].dport == 8080
    long = bytes(base / UDP(sport=8, dport=80) / Raw(bytes(3000)))
    out = bridge.send(1, fragments(long), 2)[2]
    (whole,) = datagrams(out)
    assert len({frame[:6] for frame in out}) == 1 and len(whole[-1]) == 3008
    out = bridge.send(1, fragments(long, ident=78), 2)[2]
    assert datagrams(out) == [whole]
    # to a server itself, also where it is no backend's port and no other's connection
    reached = next(server for server in servers(3) if server.mac == Ether(out[0]).dst)
    for ident, (source, to) in enumerate(((8, 8080), (300, 8080), (301, 9999)), 79):
        head = Ether(src=CLIENT.mac, dst=reached.mac) / IP(
            src="10.9.0.1", dst=str(reached.ipv4).split("/")[0]
        )
        sent = fragments(bytes(head / UDP(sport=source, dport=to) / Raw(bytes(3000))), ident=ident)
        out = bridge.send(1, sent, 2)[2]
        (there,) = datagrams(out)
        assert len(there[-1]) == 3008 and {frame[:6] for frame in out} == {sent[0][:6]}
        port = int.from_bytes(there[-1][:2], "big")
        assert (port == source) == (source != 8), "the service has this client's port 8 already"


def direct(version: int, kind: type[TCP] | type[UDP], port: int = 20001) -> bytes:
    """What begins a connection to the one backend's own port, past the service."""
    web = servers(1)[0]
    head: Packet = IP(src="10.9.0.1", dst="10.9.0.11") if version == 4 else IPv6(
        src="2001:db8:9::1", dst="2001:db8:9::b"
    )  # fmt: skip
    body = TCP(sport=port, dport=8080, flags="S", seq=7) if kind is TCP else UDP(sport=port, dport=8080)
    return bytes(Ether(src=CLIENT.mac, dst=web.mac) / head / body / Raw(b"direct"))


def asked(version: int, kind: type[TCP] | type[UDP], port: int = 20001) -> bytes:
    """The same to the service."""
    head: Packet = IP(src="10.9.0.1", dst=VIP) if version == 4 else IPv6(src="2001:db8:9::1", dst=VIP6)
    body = TCP(sport=port, dport=80, flags="S", seq=9) if kind is TCP else UDP(sport=port, dport=80)
    return bytes(Ether(src=CLIENT.mac, dst=VMAC) / head / body / Raw(b"asked"))


@pytest.mark.parametrize("first", ["service", "backend"])
@pytest.mark.parametrize("kind", [TCP, UDP])
@pytest.mark.parametrize("version", [4, 6])
def test_one_port_to_the_service_and_to_the_backend_itself(
    bridge: Bridge, version: int, kind: type[TCP] | type[UDP], first: str
) -> None:
    """The backend sees two source ports of one client, and each answer comes from whom it asked."""
    bridge.program(surrounded(balanced(1, protocol="tcp" if kind is TCP else "udp")))
    both = {"service": asked(version, kind), "backend": direct(version, kind)}
    order = [first, *(name for name in both if name != first)]
    reached = {name: bridge.send(1, [both[name]], 2)[2][0] for name in order}
    head = IP if version == 4 else IPv6
    seen = [Ether(reached[name]) for name in order]
    assert all((got[head].src, got[kind].dport) == (Ether(both[first])[head].src, 8080) for got in seen)
    assert seen[0][kind].sport == 20001 != seen[1][kind].sport >= 1024
    for _ in range(2):
        for name in order[::-1]:
            question, got = Ether(both[name]), Ether(reached[name])
            said = kind(sport=got[kind].dport, dport=got[kind].sport)
            if kind is TCP:
                said.flags, said.seq, said.ack = "SA", 5, got[TCP].seq + 1
            back = Ether(src=got.dst, dst=got.src) / head(src=got[head].dst, dst=got[head].src) / said
            (home,) = map(Ether, bridge.send(2, [bytes(back)], 1)[1])
            assert (home.src, home[head].src) == (question.dst, question[head].dst), name
            assert (home[kind].sport, home[kind].dport) == (question[kind].dport, 20001), name
            (again,) = bridge.send(1, [both[name]], 2)[2]
            assert Ether(again)[kind].sport == got[kind].sport, "it keeps its port"
