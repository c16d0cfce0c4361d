"""A network of socket pairs for checks: hosts that answer, and rules that stop what they match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import topologies
from lab.checks.judgement import Judgement
from lab.checks.loop import Loop
from lab.checks.reachability import controls, judge, plan
from lab.checks.ways import Ways
from tests.unit.lab.test_prober import Wire
from topologies.model.topology import Topology
from wire import tcp
from wire.ip import read
from wire.protocol import TCP, UDP
from wire.refusal import refusal

Rule = Callable[[str, str, bytes], str]
"""From source, target and a frame to ``pass``, ``drop`` or ``reject``."""


class Network(Wire):
    """An ideal switch. ``listening``: (host, port of TCP) that are open. ``rule`` decides about frames."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(list(topology.hosts))
        self.topology = topology
        self.listening: set[tuple[str, int]] = set()
        self.rule: Rule = lambda source, target, frame: "pass"
        self.dead: set[str] = set()

    def switch(self, src: str, frame: bytes) -> None:
        if src in self.dead:
            return
        host = self.by_mac.get(frame[:6])
        packet = read(frame[14:])
        if host is None or packet is None or (frame[12:14] == b"\x86\xdd" and frame[54] == 135):
            super().switch(src, frame)
            return
        verdict = self.rule(src, host.name, frame)
        if verdict == "reject":
            answer = refusal(frame[:14], frame[14:])
            if answer is not None:
                self.give(src, answer)
        if verdict != "pass" or host.name in self.dead:
            return
        if packet.protocol not in (TCP, UDP):
            super().switch(src, frame)
            return
        self.give(host.name, frame)
        if packet.protocol == TCP and packet.body[13] == tcp.SYN:
            segment = tcp.reset(packet.body, packet.length)
            assert segment is not None and packet.ports is not None
            if (host.name, packet.ports[1]) in self.listening:
                segment = segment[:13] + bytes((tcp.SYN | tcp.ACK,)) + segment[14:]
            back = tcp.in_ip(packet.destination, packet.source, segment)
            self.switch(host.name, frame[6:12] + frame[:6] + frame[12:14] + back)


@contextmanager
def network(text: str, hosts: str = "h1: s1, h2: s1, h3: s1") -> Iterator[Network]:
    """A running network with these checks."""
    topology = topologies.loads(f"switches: [s1]\nhosts: {{{hosts}}}\nchecks:\n{text}")
    with Network(topology).running() as running:
        assert isinstance(running, Network)
        yield running


def run(net: Network) -> list[Judgement]:
    """The judgements about all checks of a network."""
    ways = Ways(net.topology)
    plans = [plan(check, ways) for check in net.topology.checks]
    probes = [probe for some in plans for probe in some]
    extra = controls(probes, ways)
    loop = Loop(ways, net.open)
    outcomes = loop.run([*extra, *probes])[len(extra) :]
    judgements, at = [], 0
    for check, some in zip(net.topology.checks, plans, strict=True):
        judgements.append(judge(check, some, outcomes[at : at + len(some)], loop.signs, ways))
        at += len(some)
    return judgements
