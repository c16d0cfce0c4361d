"""What is sent to switches for the core's commands, and to whom."""

from __future__ import annotations

from controller.flow.tables import CONTROLLER
from controller.openflow import messages
from controller.runtime.commands import Flush, Inject, Program, Resume, Send
from controller.runtime.outgoing import Outgoing
from controller.testing import compiled
from controller.update.difference import difference, transmission
from tests.unit.controller_runtime.small_lab import ring
from topologies.model.topology import Port


class PretendedConnection:
    """A connection that keeps what it is given to send."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def own_xid(self) -> int:
        return 9

    def send(self, data: bytes) -> None:
        self.sent.append(data)


TABLES = compiled(ring())
NAME = min(TABLES)
WANTED = TABLES[NAME]
WHOLE = transmission(difference((), (), WANTED))
NOTHING = difference((flow.cookie for flow in WANTED.flows), WANTED.groups, WANTED, WANTED.meters)


def outgoing(numbers: dict[str, int]) -> tuple[Outgoing, PretendedConnection]:
    connection = PretendedConnection()
    return Outgoing({1: connection}, numbers.get), connection


def test_an_empty_switch_gets_what_was_prepared_for_it_and_others_the_difference() -> None:
    sender, connection = outgoing({})
    sender.prepare(TABLES)
    sender.program(Program(NAME, 1, NOTHING, WANTED, True))
    sender.program(Program(NAME, 1, NOTHING, WANTED, True))  # what was prepared is used once
    sender.prepare(TABLES)
    sender.program(Program(NAME, 1, NOTHING, WANTED, False))
    less = transmission(NOTHING)
    assert connection.sent == [WHOLE, less, less] and less != WHOLE


def test_nothing_is_prepared_for_a_switch_that_is_connected_already() -> None:
    sender, connection = outgoing({NAME: 1})
    sender.prepare(TABLES)
    sender.program(Program(NAME, 1, NOTHING, WANTED, True))
    assert connection.sent == [transmission(NOTHING)]


def test_frames_go_to_the_switch_that_is_meant_and_to_none_that_is_gone() -> None:
    sender, connection = outgoing({"s1": 1, "s2": 7})
    for switch in ("s1", "s2", "s3"):  # connected, just gone, unknown
        sender.send(Send(Port(switch=switch, number=3), b"frame"))
        sender.inject(Inject(switch, 5, b"frame", hop=2))
        sender.resume(Resume(switch, CONTROLLER, (), b"frame"))
        sender.flush(Flush(switch, 1, 4, 6))
    assert len(connection.sent) == 4
    assert connection.sent[2] == messages.packet_out(CONTROLLER, (), b"frame", 9)
