"""Identifiers of pings that the controller changes for address translators."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import topologies
from controller.compiler.functions.echoes import SUBSTITUTES, given_back, substituted
from controller.compiler.functions.nat import changed_identifiers
from controller.flow.builders import HOP, INSIDE, NETWORK, VERDICT
from controller.flow.tables import CONTROLLER, NO_PORT, Resubmit, SetField, Table
from controller.runtime.commands import Resume
from controller.runtime.echoes import Echoes
from controller.runtime.verdicts import Punt
from topologies.model.topology import Port
from wire.checksum import checksum

FILE = """
networks: [home, outside]
switches: [s1]
routers: {gw: [home, outside]}
hosts: {pc: {switch: s1, network: home}, server: {switch: s1, network: outside}}
functions: {gate: {kind: nat, switch: s1, network: outside}}
chains: {out: {network: home, functions: [gate]}}
"""
HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PC, SERVER, GATE = "192.168.1.2", "203.0.113.9", "203.0.113.1"
INSIDE_ADDRESS = int.from_bytes(bytes(map(int, PC.split("."))), "big")
identifiers = some.integers(0, 0xFFFF)
payloads = some.binary(max_size=60)


def message(kind: int, ident: int, body: bytes) -> bytes:
    head = bytes((kind, 0, 0, 0)) + ident.to_bytes(2, "big") + b"\0\1"
    return head[:2] + checksum(head + body).to_bytes(2, "big") + head[4:] + body


@cache
def around(source: str, target: str, size: int) -> bytes:
    """The headers of a packet that carries so many octets."""
    return bytes(HEAD / IP(src=source, dst=target, proto=1) / Raw(bytes(size)))[: 14 + 20]


def packet(source: str, target: str, icmp: bytes) -> bytes:
    return around(source, target, len(icmp)) + icmp


def is_sound(frame: bytes) -> bool:
    """Whether its checksums are right."""
    return checksum(frame[14:34]) == 0 and checksum(frame[34:]) == 0


@settings(deadline=None)
@given(identifiers, payloads, some.sampled_from([(8, 0), (13, 14), (15, 16), (17, 18)]))
def test_the_reply_to_each_substitute_has_the_hosts_identifier(
    ident: int, payload: bytes, kinds: tuple[int, int]
) -> None:
    query, reply = kinds
    now = ident
    for number in range(SUBSTITUTES):
        # as the translator has found that the one before is taken: with its own address
        substitute = substituted(packet(GATE, SERVER, message(query, now, payload)), INSIDE_ADDRESS, number)
        assert substitute is not None and is_sound(substitute)
        now = int.from_bytes(substitute[38:40], "big")
        assert substitute == packet(PC, SERVER, message(query, now, payload))
        home = given_back(packet(SERVER, PC, message(reply, now, payload)), number + 1)
        assert home is not None and is_sound(home) and home[38:40] == ident.to_bytes(2, "big")
        error = given_back(packet("203.0.113.77", PC, message(11, 0, substitute[14:])), number + 1)
        assert error is not None and is_sound(error)
        assert error[42:] == packet(PC, SERVER, message(query, ident, payload))[14:]
    assert substituted(substitute, INSIDE_ADDRESS, SUBSTITUTES) is None


@settings(deadline=None)
@given(some.binary(max_size=80), some.integers(0, SUBSTITUTES))
def test_no_frame_is_too_strange(tail: bytes, number: int) -> None:
    for head in (b"", bytes(HEAD), bytes(HEAD / IP(proto=1)), bytes(HEAD / IP(proto=1) / ICMP(type=11))):
        substituted(head + tail, INSIDE_ADDRESS, number)
        given_back(head + tail, number)


@pytest.mark.parametrize(("port", "way"), [(1, 1), (0xFFFFFFFF, CONTROLLER)], ids=["host", "other switch"])
def test_a_packet_goes_on_as_it_came_with_its_next_substitute(port: int, way: int) -> None:
    topology = topologies.loads(FILE)
    echoes = Echoes(topology)
    cookie = next(cookie for cookie, outward in changed_identifiers(topology).items() if outward)
    frame = bytes(HEAD / IP(src=PC, dst=SERVER) / ICMP(type=8, id=7))
    registers = {NETWORK: 1, HOP: 3, INSIDE: INSIDE_ADDRESS, VERDICT: 2 | 1 << 4}
    (resume,) = echoes.packet(Punt(Port(switch="s1", number=port), cookie, frame, registers), 0.0) or []
    assert isinstance(resume, Resume) and resume.in_port == way
    given_again = dict(action[:2] for action in resume.actions if isinstance(action, SetField))
    assert given_again == {NETWORK: 1, HOP: 3, VERDICT: 2 << 4} | (
        {"in_port": NO_PORT} if way != port else {}
    )
    assert resume.actions[-1] == Resubmit(Table.STEER)
    assert echoes.packet(Punt(Port(switch="s1", number=1), cookie + 1, frame, registers), 0.0) is None
