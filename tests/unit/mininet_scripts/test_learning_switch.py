"""The learning switch as a function of octets: what it answers a switch that speaks each version."""

from __future__ import annotations

import struct

import pytest

from controller.learning_switch import messages
from controller.learning_switch.core import Session
from controller.learning_switch.messages import V10, V12, V13, V14, V15
from wire.loop_free import blocked

A, B, ALL = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\xff" * 6


def kinds(data: bytes) -> list[int]:
    numbers = []
    while data:
        numbers.append(data[1])
        data = data[int.from_bytes(data[2:4], "big") :]
    return numbers


def hello(*versions: int) -> bytes:
    bitmap = sum(1 << version for version in versions)
    return messages.message(max(versions), messages.HELLO, struct.pack("!HHI", 1, 8, bitmap))


def described(version: int, number: int, name: str, down: bool = False) -> bytes:
    text = name.encode().ljust(16, b"\0")
    if version == V10:
        return struct.pack("!H6s16sII16x", number, A, text, down, 0)
    if version < V14:
        return struct.pack("!I4x6s2x16sII24x", number, A, text, down, 0)
    return struct.pack("!IH2x6s2x16sII", number, 40, A, text, down, 0)


def with_ports(version: int, *names: str) -> Session:
    session = Session()
    session.receive(hello(version))
    ports = b"".join(described(version, number, name) for number, name in enumerate(names, 1))
    features = struct.pack("!Q16x", 7) + (ports if version < V13 else b"")
    session.receive(messages.message(version, messages.FEATURES_REPLY, features))
    if version >= V13:
        answer = struct.pack("!HHI", messages.PORT_DESC, 0, 0) + ports
        session.receive(messages.message(version, messages.MULTIPART_REPLY, answer))
    return session


def packet_in(version: int, port: int, destination: bytes, source: bytes) -> bytes:
    frame = destination + source + b"\x08\0" + bytes(46)
    match = struct.pack("!HHII4x", 1, 12, 0x80000004, port)
    if version == V10:
        body = struct.pack("!IHHBx", 1, len(frame), port, 0)
    elif version == V12:
        body = struct.pack("!IHBB", 1, len(frame), 0, 0) + match + bytes(2)
    else:
        body = struct.pack("!IHBBQ", 1, len(frame), 0, 0, 0) + match + bytes(2)
    return messages.message(version, messages.PACKET_IN, body + frame)


@pytest.mark.parametrize("version", [V10, V12, V13, V14, V15])
def test_an_unknown_address_is_flooded_and_a_known_one_gets_a_flow(version: int) -> None:
    session = with_ports(version, "s1-eth1", "s1-eth2", "s1-eth3")
    assert session.dpid == 7
    assert [port.name for port in session.ports.values()] == ["s1-eth1", "s1-eth2", "s1-eth3"]
    assert kinds(session.receive(packet_in(version, 1, ALL, A))) == [messages.PACKET_OUT]
    answer = session.receive(packet_in(version, 2, A, B))
    assert kinds(answer) == [messages.FLOW_MOD, messages.PACKET_OUT]
    assert session.receive(packet_in(version, 1, A, B)) == b""  # where it came from


def test_messages_may_come_in_pieces() -> None:
    session = with_ports(V13, "s1-eth1", "s1-eth2")
    raw = packet_in(V13, 1, ALL, A)
    assert [session.receive(raw[:5]), session.receive(raw[5:40])] == [b"", b""]
    assert kinds(session.receive(raw[40:])) == [messages.PACKET_OUT]


def test_version_1_0_is_preferred_and_a_foreign_one_refused() -> None:
    assert messages.agreed(hello(V10, V13, V15)) == V10
    assert messages.agreed(hello(V13, V14)) == V14
    with pytest.raises(ValueError, match="speaks none of"):
        Session().receive(hello(2))


def test_ports_outside_of_the_tree_neither_flood_nor_take_frames() -> None:
    session = with_ports(V13, "s1-eth1", "s1-eth2", "s1-eth3")
    flooded = session.receive(packet_in(V13, 1, ALL, A))
    session.receive(packet_in(V13, 2, A, B))
    forgotten = session.block({"s1-eth3"})
    assert kinds(forgotten) == [messages.FLOW_MOD]
    assert session.block({"s1-eth3"}) == b""
    assert session.receive(packet_in(V13, 3, ALL, B)) == b""
    assert len(session.receive(packet_in(V13, 1, ALL, A))) == len(flooded) - 16  # an output less


def test_a_port_that_goes_down_makes_it_forget() -> None:
    session = with_ports(V13, "s1-eth1", "s1-eth2")
    session.receive(packet_in(V13, 1, ALL, A))
    session.receive(packet_in(V13, 2, A, B))
    down = struct.pack("!B7x", 2) + described(V13, 1, "s1-eth1", down=True)
    assert kinds(session.receive(messages.message(V13, messages.PORT_STATUS, down))) == [messages.FLOW_MOD]
    assert session.receive(packet_in(V13, 2, ALL, B)) == b""  # there is no other port


def test_flows_to_an_address_that_moves_are_deleted() -> None:
    session = with_ports(V13, "s1-eth1", "s1-eth2", "s1-eth3")
    session.receive(packet_in(V13, 1, ALL, A))
    session.receive(packet_in(V13, 2, A, B))
    assert kinds(session.receive(packet_in(V13, 3, ALL, A))) == [messages.FLOW_MOD, messages.PACKET_OUT]
    assert kinds(session.receive(packet_in(V13, 3, ALL, A))) == [messages.PACKET_OUT]


def test_the_flow_for_all_else_returns_when_a_script_deletes_it() -> None:
    session = with_ports(V13, "s1-eth1")
    for priority, answered in ((0, [messages.FLOW_MOD]), (100, [])):
        removed = struct.pack("!QHBB", 0, priority, 2, 0) + bytes(28)
        assert kinds(session.receive(messages.message(V13, messages.FLOW_REMOVED, removed))) == answered


def test_echoes_are_answered_and_frames_of_bridges_are_not_forwarded() -> None:
    session = with_ports(V13, "s1-eth1", "s1-eth2")
    assert session.receive(messages.message(V13, messages.ECHO_REQUEST, b"x", 9)) == messages.message(
        V13, messages.ECHO_REPLY, b"x", 9
    )
    assert session.receive(packet_in(V13, 1, b"\x01\x80\xc2\0\0\x0e", A)) == b""


def test_a_spanning_tree_blocks_both_ends_of_each_wire_that_closes_a_loop() -> None:
    ring = [("s1", "a", "s2", "b"), ("s2", "c", "s3", "d"), ("s3", "e", "s1", "f")]
    assert blocked(ring) == {"e", "f"}
    assert blocked(ring[1:]) == set()
    assert blocked([("s1", "a", "s2", "b"), ("s2", "c", "s1", "d"), ("s4", "g", "s4", "h")]) == {
        "c",
        "d",
        "g",
        "h",
    }
