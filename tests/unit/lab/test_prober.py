"""The prober against a network of socket pairs: what it claims must be what happened there."""

from __future__ import annotations

import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_address

import pytest

from lab.probe import frames
from lab.probe.loop import Deadline, Pace, Probe, Run, drive
from lab.probe.pairs import Gateway, default_pairs
from lab.probe.prober import Crossing, ProbeResult, probe
from topologies.model.topology import Host, Port


def make_hosts(count: int, network: str = "lan", switches: int = 2, offset: int = 0) -> list[Host]:
    return [
        Host(
            name=f"h{offset + i}",
            network=network,
            port=Port(switch=f"s{i % switches}", number=i + 1),
            mac=f"02:00:00:00:{(offset + i) >> 8:02x}:{(offset + i) & 255:02x}",
            ipv4=IPv4Interface(f"10.0.{(offset + i) >> 8}.{(offset + i) & 255}/16"),
            ipv6=IPv6Interface(f"fd00::{offset + i:x}/64"),
        )
        for i in range(1, count + 1)
    ]


class Wire:
    """An ideal switch and the hosts' stacks behind it; ``drop`` and ``lie`` spoil it."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.drop: Callable[[str, str, bytes], bool] = lambda src, dst, frame: False
        self.silent: set[str] = set()
        self.lie: bytes | None = None
        self.router = b""
        self.ours: dict[str, socket.socket] = {}
        self.far: dict[str, socket.socket] = {}
        self.by_mac = {bytes.fromhex(h.mac.replace(":", "")): h for h in hosts}
        self.by_ip = {h.ipv4.ip.packed: h for h in hosts if h.ipv4}
        self.by_ip |= {h.ipv6.ip.packed: h for h in hosts if h.ipv6}

    def open(self, name: str) -> socket.socket:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        far.setblocking(False)
        self.far[name] = far
        self.ours[name] = near
        self.selector.register(far, selectors.EVENT_READ, name)
        return near

    @contextmanager
    def running(self) -> Iterator[Wire]:
        self.selector = selectors.DefaultSelector()
        self.stop = False
        thread = threading.Thread(target=self.pump)
        thread.start()
        try:
            yield self
        finally:
            self.stop = True
            thread.join()
            for far in self.far.values():
                far.close()

    def pump(self) -> None:
        while not self.stop:
            for key, _ in self.selector.select(0.01):
                try:
                    frame = key.fileobj.recv(2048)  # type: ignore[union-attr]
                except (BlockingIOError, ConnectionResetError):
                    continue
                if not frame:
                    self.selector.unregister(key.fileobj)
                    continue
                self.switch(key.data, frame)

    def give(self, name: str, frame: bytes) -> None:
        with suppress(BlockingIOError, ConnectionRefusedError, BrokenPipeError):
            self.far[name].send(frame)

    def switch(self, src: str, frame: bytes) -> None:
        if frame[12:14] == b"\x08\x06":
            target = self.by_ip.get(frame[38:42])
            if target and not self.drop(src, "arp", frame):
                mac = self.lie or bytes.fromhex(target.mac.replace(":", ""))
                reply = frame[6:12] + mac + frame[12:20] + b"\x00\x02" + mac + frame[38:42] + frame[22:32]
                self.give(src, reply)
        elif frame[12:14] == b"\x86\xdd" and frame[54] == 135:
            target = self.by_ip.get(frame[62:78])
            if target:
                mac = self.lie or bytes.fromhex(target.mac.replace(":", ""))
                body = b"\x88\0\0\0\x60\0\0\0" + frame[62:78] + b"\x02\x01" + mac
                self.give(src, frame[6:12] + mac + frame[12:22] + frame[62:78] + frame[22:38] + body)
        elif frame[:6] == self.router:
            target = self.by_ip[frame[30:34] if frame[12:14] == b"\x08\x00" else frame[38:54]]
            self.switch(src, bytes.fromhex(target.mac.replace(":", "")) + frame[6:])
        elif frame[:6] in self.by_mac:
            dst = self.by_mac[frame[:6]].name
            if dst not in self.far or self.drop(src, dst, frame):
                return
            self.give(dst, frame)
            if frame[12:14] == b"\x08\x00" and frame[34] == 8 and dst not in self.silent:
                back = frame[26:30]
                reply = frame[6:12] + frame[:6] + frame[12:26] + frame[30:34] + back + b"\0" + frame[35:]
            elif frame[12:14] == b"\x86\xdd" and frame[54] == 128 and dst not in self.silent:
                reply = (
                    frame[6:12]
                    + frame[:6]
                    + frame[12:22]
                    + frame[38:54]
                    + frame[22:38]
                    + b"\x81"
                    + frame[55:]
                )
            else:
                return
            if not self.drop(dst, src, reply):
                self.give(src, reply)


def run(
    hosts: list[Host],
    spoil: Callable[[Wire], None] = lambda w: None,
    pairs: list[tuple[str, str]] | None = None,
    **options: object,
) -> ProbeResult:
    wire = Wire(hosts)
    spoil(wire)
    with wire.running():
        return probe(hosts, wire.open, pairs, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["stack", "frames"])
def test_all_pairs_of_an_ideal_network_are_reached(method: str) -> None:
    result = run(make_hosts(6), method=method)
    assert result.ok, result.failures
    assert set(result.rtt) == {
        (a.name, b.name, f) for a in make_hosts(6) for b in make_hosts(6) for f in (4, 6) if a != b
    }
    assert result.method == method


def test_method_follows_the_number_of_pairs() -> None:
    assert run(make_hosts(4)).method == "stack"
    many = run(make_hosts(40), families=(4,))
    assert many.method == "frames" and many.ok and many.total == 40 * 39


def test_many_hosts_are_told_what_was_left_out() -> None:
    """All pairs by IPv4; by IPv6 each host to the next, which is counted and said."""
    result = run(make_hosts(50))
    assert result.ok, result.failures
    assert result.families == (4, 6) and "IPv6 every host to the next only" in result.note
    assert sum(family == 4 for _, _, family in result.rtt) == 50 * 49
    assert sum(family == 6 for _, _, family in result.rtt) == 50


def test_a_pair_named_twice_is_one_pair() -> None:
    result = run(make_hosts(2), pairs=[("h1", "h2"), ("h1", "h2")], families=(4,), timeout=5.0)
    assert result.ok and result.total == 1


def test_networks_are_apart() -> None:
    hosts = make_hosts(3) + make_hosts(2, network="other", offset=100)
    assert set(default_pairs(hosts)) == {
        *((a, b) for a in ("h1", "h2", "h3") for b in ("h1", "h2", "h3") if a != b),
        ("h101", "h102"),
        ("h102", "h101"),
    }


def test_two_interfaces_of_a_host_are_no_pair() -> None:
    one, two, three = make_hosts(3)
    hosts = [one, two.model_copy(update={"of": "h1"}), three]
    assert set(default_pairs(hosts)) == {("h1", "h3"), ("h3", "h1"), ("h2", "h3"), ("h3", "h2")}


ROUTER = "00:00:5e:00:01:01"


def routed_lab() -> tuple[list[Host], dict[str, Gateway], Callable[[Wire], None]]:
    """Two networks and a router, which is what answers for its addresses and passes packets on."""
    hosts = make_hosts(2, "web") + make_hosts(2, "db", offset=10)
    gateways = {
        name: Gateway("r", ROUTER, ip_address(four), ip_address(six), frozenset({other}))  # type: ignore[arg-type]
        for name, other, four, six in (
            ("web", "db", "10.0.9.1", "fd00::9:1"),
            ("db", "web", "10.0.9.2", "fd00::9:2"),
        )
    }

    def spoil(wire: Wire) -> None:
        router = make_hosts(1, offset=200)[0].model_copy(update={"mac": ROUTER})
        for gateway in gateways.values():
            for address in (gateway.ipv4, gateway.ipv6):
                assert address is not None
                wire.by_ip[address.packed] = router
        wire.router = bytes.fromhex(ROUTER.replace(":", ""))

    return hosts, gateways, spoil


@pytest.mark.parametrize("method", ["stack", "frames"])
def test_what_a_router_joins_is_reached_through_it(method: str) -> None:
    hosts, gateways, spoil = routed_lab()
    result = run(hosts, spoil, routed=gateways, method=method)
    assert result.ok, result.failures
    names = [host.name for host in hosts]
    assert set(result.rtt) == {(a, b, f) for a in names for b in names for f in (4, 6) if a != b}


def test_what_no_router_joins_is_said_to_be_apart() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: True

    hosts = make_hosts(2, "web") + make_hosts(2, "db", offset=10)
    (failure,) = run(hosts, spoil, pairs=[("h1", "h11")], families=(4,), timeout=1.0).failures
    assert failure.reason == "they are in different networks, which no router joins"


def test_one_direction_lost_is_told_from_the_other() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: (src, dst) == ("h1", "h3")

    result = run(make_hosts(3), spoil, families=(4,), method="stack", timeout=3.0)
    by_pair = {(f.src, f.dst): f.reason for f in result.failures}
    assert set(by_pair) == {("h1", "h3"), ("h3", "h1")}
    assert "not seen at h3" in by_pair["h1", "h3"]
    assert "no reply came back to h3" in by_pair["h3", "h1"]


def test_frames_mode_names_the_direction_that_fails() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: (src, dst) == ("h1", "h3")

    result = run(make_hosts(5), spoil, families=(4,), method="frames", timeout=3.0)
    assert {(f.src, f.dst) for f in result.failures} == {("h1", "h3")}


def test_a_host_whose_stack_is_dead_fails_the_ring() -> None:
    result = run(make_hosts(5), lambda w: w.silent.add("h2"), families=(4,), method="frames", timeout=3.0)
    assert {(f.src, f.dst) for f in result.failures} == {("h1", "h2")}
    assert "no reply" in result.failures[0].reason


def test_the_ring_of_real_pings_stays_within_a_part() -> None:
    def spoil(wire: Wire) -> None:
        side = {host.name: host.port.switch for host in wire.hosts}
        wire.drop = lambda src, dst, frame: dst != "arp" and side[src] != side[dst]

    hosts = make_hosts(5)  # h1, h3, h5 on one switch, h2 and h4 on the other
    parts = {"s0": 0, "s1": 1}
    near = [(a.name, b.name) for a in hosts for b in hosts if a != b and a.port.switch == b.port.switch]
    result = run(hosts, spoil, near, families=(4,), method="frames", parts=parts)
    assert result.ok and result.total == len(near), result.failures


@pytest.mark.parametrize("method", ["stack", "frames"])
def test_pairs_of_different_parts_are_tried_once(method: str) -> None:
    sent: list[tuple[str, str]] = []

    def spoil(wire: Wire) -> None:
        side = {host.name: host.port.switch for host in wire.hosts}

        def drop(src: str, dst: str, frame: bytes) -> bool:
            sent.append((src, dst))
            return dst != "arp" and side[src] != side[dst]

        wire.drop = drop

    result = run(make_hosts(4), spoil, families=(4,), method=method, parts={"s0": 0, "s1": 1})
    far = {(a, b) for a in ("h1", "h3") for b in ("h2", "h4")}
    far |= {(b, a) for a, b in far}
    assert {(f.src, f.dst) for f in result.failures} == far
    assert all(sent.count(pair) <= 1 for pair in far)


def test_time_in_which_switches_were_held_up_does_not_count() -> None:
    probe_of_a_pair = Probe(0, 1, 4, False, b"", sent=10.0, held=2.0)
    pace = Pace()
    late = 10.0 + 2 * pace.lost_after
    assert pace.is_late(probe_of_a_pair, late, held=2.0)
    assert not pace.is_late(probe_of_a_pair, late, held=2.0 + 1.5 * pace.lost_after)


def test_a_slow_host_is_tried_twice_as_often() -> None:
    def tries(*slow: str) -> int:
        hosts, ticks = make_hosts(3), itertools.count()
        wire = Wire(hosts)
        wire.drop = lambda src, dst, frame: True
        with wire.running():
            outcome = probe(
                hosts,
                wire.open,
                [("h1", "h2")],
                30.0,
                families=(4,),
                clock=lambda: next(ticks) * 0.1,
                slow=slow,
            )
        return outcome.frames_sent

    assert tries("h2") == tries("h1") == 2 * tries("h3") == 2 * tries()


def test_no_frame_is_sent_again_while_the_switches_wait_for_a_processor() -> None:
    def frames_sent(*, all_the_time: bool) -> int:
        ticks = itertools.count()
        hosts = make_hosts(2)
        wire = Wire(hosts)
        wire.drop = lambda src, dst, frame: True
        with wire.running():
            now = [0.0]

            def clock() -> float:
                now[0] = next(ticks) * 0.1
                return now[0]

            outcome = probe(
                hosts, wire.open, [("h1", "h2")], 10.0, families=(4,), clock=clock,
                held=lambda: now[0] if all_the_time else 0.0,
            )  # fmt: skip
        assert not outcome.rtt
        return outcome.frames_sent

    assert frames_sent(all_the_time=True) == 1
    assert frames_sent(all_the_time=False) == Probe(0, 1, 4, False, b"").most


@pytest.mark.parametrize("method", ["stack", "frames"])
def test_pairs_that_a_cut_keeps_apart_are_tried_once(method: str) -> None:
    sent: list[tuple[str, str]] = []

    def spoil(wire: Wire) -> None:
        def drop(src: str, dst: str, frame: bytes) -> bool:
            sent.append((src, dst))
            return dst != "arp" and "h2" in (src, dst)

        wire.drop = drop

    now = {"h1": 0, "h2": 1, "h3": 0, "h4": 0}
    result = run(make_hosts(4), spoil, families=(4,), method=method, parts_now=now)
    assert {frozenset((f.src, f.dst)) for f in result.failures} == {
        frozenset(("h2", other)) for other in ("h1", "h3", "h4")
    }
    most = 2 if method == "frames" else 1  # the ring's real ping comes on top
    assert all(sent.count(pair) <= most for pair in sent if "h2" in pair and "arp" not in pair)


def test_frames_that_nobody_answers_do_not_keep_the_window_small() -> None:
    hosts = make_hosts(40)
    stations = [
        frames.station(host.name, host.mac, host.ipv4.ip if host.ipv4 else None, None) for host in hosts
    ]
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in hosts]
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    run_ = Run(stations, [near for near, _ in ends], 1, clock, True, pace=Pace(window=16))
    for near, far in ends:
        near.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    run_.echoes = [Probe(i, (i + 1) % 40, 4, False, b"x", most=1, one_way=True) for i in range(40)]
    drive(run_, 60.0)
    assert all(probe.tries == 1 for probe in run_.echoes)
    assert run_.pace.window >= Pace().window
    for near, far in ends:
        near.close()
        far.close()


def test_time_is_not_up_while_things_come_to_their_end() -> None:
    soft, hard = Deadline(10.0, True, 0.0), Deadline(10.0, False, 0.0)
    for deadline in (soft, hard):
        deadline.moved(2.0)
        assert deadline.at == 10.0
        deadline.moved(9.5)
    assert soft.at > 14.0 and hard.at == 10.0
    soft.moved(10_000.0)
    assert soft.at < 10_000.0  # a run has an end


def test_a_false_mac_is_reported() -> None:
    def spoil(wire: Wire) -> None:
        wire.lie = b"\x02\xbb\xbb\xbb\xbb\xbb"

    result = run(make_hosts(2), spoil, families=(4,), timeout=3.0)
    assert not result.rtt
    assert "02:bb:bb:bb:bb:bb" in result.failures[0].reason


def test_an_unknown_address_is_a_failure_with_its_reason() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: dst == "arp"

    result = run(make_hosts(2), spoil, families=(4,), timeout=3.0)
    assert "no answer to ARP for 10.0.0.2 at h1" in {f.reason for f in result.failures}


def test_a_host_delivered_to_the_wrong_port_is_a_failure() -> None:
    def spoil(wire: Wire) -> None:
        wire.by_mac[bytes.fromhex("020000000002")] = wire.hosts[2]

    result = run(make_hosts(3), spoil, families=(4,), pairs=[("h1", "h2"), ("h1", "h3")], timeout=3.0)
    assert "delivered to h3" in {f.dst: f.reason for f in result.failures}["h2"]


def test_an_address_answered_before_it_was_asked_for_spoils_no_other_pair() -> None:
    """A host's own kernel may have asked; with half of the pairs lost, the others are still all found."""
    hosts = make_hosts(30, switches=30)
    side = {host.name: number < 15 for number, host in enumerate(hosts)}

    def spoil(wire: Wire) -> None:
        opened = wire.open

        def open_with_answers(name: str) -> socket.socket:
            near = opened(name)
            asker = next(host for host in hosts if host.name == name)
            for host in hosts:
                assert host.ipv4 and asker.ipv4
                macs = [bytes.fromhex(host_of_pair.mac.replace(":", "")) for host_of_pair in (asker, host)]
                head = b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02"
                ends = macs[1] + host.ipv4.ip.packed + macs[0] + asker.ipv4.ip.packed
                wire.give(name, macs[0] + macs[1] + head + ends)
            return near

        wire.open = open_with_answers  # type: ignore[method-assign]
        wire.drop = lambda src, dst, frame: dst != "arp" and side[src] != side[dst]

    result = run(hosts, spoil, families=(4,), method="frames")
    assert {(f.src, f.dst) for f in result.failures} == {
        (a, b) for a in side for b in side if side[a] != side[b]
    }
    assert not [f for f in result.failures if "time ran out" in f.reason]


def test_only_what_was_sent_says_how_long_an_answer_takes() -> None:
    pace = Pace()
    pace.answered(Probe(0, 1, 4, True, b""), now=1_000_000.0)
    assert pace == Pace()
    pace.answered(Probe(0, 1, 4, True, b"", tries=1, sent=999_999.9), now=1_000_000.0)
    assert pace.latency > Pace().latency


def test_the_timeout_bounds_the_run() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: True

    result = run(make_hosts(3), spoil, timeout=0.2)
    assert result.reached == 0 and result.total == 12


def test_preparing_takes_nothing_of_the_timeout_and_progress_is_told() -> None:
    """By this clock an hour passes before the first frame."""
    late, told = iter([0.0]), []
    result = run(
        make_hosts(3),
        timeout=20.0,
        clock=lambda: time.monotonic() + next(late, 3600.0),
        told=lambda done, total: told.append((done, total)),
    )
    assert result.reached == result.total == 12
    assert told[0] == (0, 24)  # for each pair and family an address and an echo


def test_unknown_host_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        run(make_hosts(2), pairs=[("h1", "nobody")])


def test_frames_are_what_scapy_would_have_built() -> None:
    scapy = pytest.importorskip("scapy.all")
    a, b = (
        frames.station(h.name, h.mac, h.ipv4.ip if h.ipv4 else None, h.ipv6.ip if h.ipv6 else None)
        for h in make_hosts(2)
    )
    for number in (0, 1, 65535, 70000, 0xFFFFFFFF):
        for kind in (0, 8):
            built = frames.echo4(a, b, 0xDEADBEEF, number, kind)
            packet = scapy.Ether(built)
            del packet["IP"].chksum, packet["ICMP"].chksum
            assert bytes(packet) == built
        for kind in (128, 129):
            built = frames.echo6(a, b, 0xDEADBEEF, number, kind)
            packet = scapy.Ether(built)
            layer = packet.getlayer(2)
            del layer.cksum
            assert bytes(packet) == built
    solicitation = frames.neighbour_solicitation(a, b.ip6 or b"")
    packet = scapy.Ether(solicitation)
    del packet["ICMPv6ND_NS"].cksum
    assert bytes(packet) == solicitation
    assert packet["ICMPv6ND_NS"].tgt == "fd00::2" and packet["IPv6"].dst == "ff02::1:ff00:2"
    arp = scapy.Ether(frames.arp_request(a, b.ip4 or b""))
    assert (arp["ARP"].pdst, arp["ARP"].hwsrc, arp["ARP"].op) == ("10.0.0.2", "02:00:00:00:00:01", 1)


def test_noise_is_not_recognised() -> None:
    for noise in (
        b"",
        b"\0" * 60,
        struct.pack("!12sH60x", b"", 0x0800),
        struct.pack("!12sH6xB57x", b"", 0x86DD, 58),
    ):
        assert frames.recognise(noise, 1) is None


def stateful(wire: Wire) -> None:
    """As a firewall that tracks connections: answers pass only after their requests did."""
    asked: set[tuple[str, str]] = set()

    def drop(src: str, dst: str, frame: bytes) -> bool:
        if dst == "arp":
            return False
        at = 34 if frame[12:14] == b"\x08\x00" else 62 if frame[20] == 60 else 54
        if frame[at] in (8, 15, 128):
            asked.add((src, dst))
            return False
        return (dst, src) not in asked

    wire.drop = drop


def test_many_hosts_behind_a_stateful_firewall_are_reached() -> None:
    hosts = make_hosts(40)
    plain = run(hosts, stateful, families=(4,), timeout=3.0)
    assert len(plain.failures) > 1000, "nobody asked for those answers"
    result = run(hosts, stateful, families=(4,), tracked=True)
    assert result.ok, result.failures[:3]
    assert result.method == "questions" and result.total == 40 * 39


def test_questions_of_both_families_pass_through_a_router_too() -> None:
    hosts, gateways, spoil = routed_lab()

    def both(wire: Wire) -> None:
        spoil(wire)
        stateful(wire)

    result = run(hosts, both, routed=gateways, method="frames", tracked=True, families=(4,))
    assert result.ok, result.failures
    result = run(make_hosts(4), stateful, method="frames", tracked=True)
    assert result.ok and {family for _, _, family in result.rtt} == {4, 6}, result.failures


def test_a_question_that_is_refused_names_its_direction() -> None:
    def spoil(wire: Wire) -> None:
        wire.drop = lambda src, dst, frame: (src, dst) == ("h1", "h3")

    result = run(make_hosts(5), spoil, families=(4,), method="frames", tracked=True, timeout=3.0)
    by_pair = {(f.src, f.dst): f.reason for f in result.failures}
    assert set(by_pair) == {("h1", "h3"), ("h3", "h1")}
    assert "lost on the way there" in by_pair["h1", "h3"]
    assert "no reply came back" in by_pair["h3", "h1"]


@pytest.mark.parametrize("family", [4, 6])
def test_questions_are_told_from_their_answers(family: int) -> None:
    a, b = (
        frames.station(host.name, host.mac, host.ipv4.ip, host.ipv6.ip)  # type: ignore[union-attr]
        for host in make_hosts(2)
    )
    for answer in (False, True):
        frame = frames.question(a, b, family, 7, 5, answer)
        assert frames.recognise(frame, 7) == frames.Echo(family, not answer, 5)
        assert frames.recognise(frame, 8) is None


def test_frames_that_switches_send_show_which_links_carry() -> None:
    """They are no pairs, and arrive once each; one that is lost is tried again, and told."""
    sent: list[bytes] = []
    wire = Wire(make_hosts(3))

    def carry(frame: bytes) -> None:
        sent.append(frame)
        wire.give("h3", frame)

    crossings = [Crossing("h1", "h3", 4, carry), Crossing("h2", "h3", 4, lambda frame: None)]
    with wire.running():
        result = probe(wire.hosts, wire.open, [("h1", "h2")], 4.0, method="stack", crossings=crossings)
    assert result.ok and result.crossed == (True, False)
    assert {(src, dst) for src, dst, _ in result.rtt} == {("h1", "h2")} and len(sent) == 1


def test_kernels_forget_what_they_resolved_for_a_ring_and_few_resolve_at_a_time() -> None:
    hosts = make_hosts(700)
    ring = [(a.name, b.name) for a, b in zip(hosts, [*hosts[1:], hosts[0]], strict=True)]
    addresses = {host.ipv4.ip.packed: host.name for host in hosts if host.ipv4}
    entries: set[tuple[str, str]] = set()
    most = 0

    def note(wire: Wire) -> None:
        def asked(src: str, dst: str, frame: bytes) -> bool:
            nonlocal most
            if frame[12:14] == b"\x08\x00" and frame[34] == 8:
                entries.add((dst, src))
                most = max(most, len(entries))
            return False

        wire.drop = asked

    def forget(host: str, address: bytes) -> None:
        entries.remove((host, addresses[address]))

    result = run(hosts, note, ring, families=(4,), method="stack", forget=forget)
    assert result.ok and not entries
    assert most <= 256


def test_kernels_keep_what_they_resolved_where_they_answer_all_pairs() -> None:
    forgotten: list[str] = []
    result = run(make_hosts(4), forget=lambda host, address: forgotten.append(host))
    assert result.ok and result.method == "stack" and not forgotten
    result = run(make_hosts(4), method="frames", forget=lambda host, address: forgotten.append(host))
    assert result.ok and len(forgotten) == 8  # a ring, in both families


def test_few_kernels_resolve_at_a_time_also_while_nothing_is_answered() -> None:
    hosts = make_hosts(300)
    ring = [(a.name, b.name) for a, b in zip(hosts, [*hosts[1:], hosts[0]], strict=True)]
    asked: set[tuple[str, str]] = set()

    def silent(wire: Wire) -> None:
        def drop(src: str, dst: str, frame: bytes) -> bool:
            if dst != "arp":
                asked.add((src, dst))
            return dst != "arp"

        wire.drop = drop

    ticks = itertools.count()
    result = run(
        hosts, silent, ring, families=(4,), method="stack", forget=lambda host, address: None,
        clock=lambda: next(ticks) * 5e-5, held=lambda: 0.0, timeout=0.25,
    )  # fmt: skip
    assert not result.rtt and 0 < len(asked) <= 256
