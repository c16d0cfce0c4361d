"""How long packets are waited for where they should arrive, or where none should: on a wire between two."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from lab.scripting.delivery import Delivery, deliver

FRAME = bytes(12) + b"\x88\xb5" + b"what is said"
LONG = 1.0


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        yield near, far


def waited(
    sender: socket.socket, receiver: socket.socket, *, nothing: bool, step: float = 0.06
) -> tuple[Delivery, float]:
    """What became of two frames, and when that was told, by a clock that goes on whenever it is read."""
    clock = itertools.count(0.0, step)
    told = deliver(sender, [FRAME, FRAME], {"h2": receiver}, LONG, nothing=nothing, clock=lambda: next(clock))
    return told, next(clock)


def test_packets_that_arrive_where_none_should_are_told_at_once(
    wire: tuple[socket.socket, socket.socket],
) -> None:
    told, at = waited(*wire, nothing=True)
    assert told.arrived == 2 and at < LONG


def test_silence_is_waited_for_to_its_end(wire: tuple[socket.socket, socket.socket]) -> None:
    _, elsewhere = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with _, elsewhere:
        told, at = waited(wire[0], elsewhere, nothing=True, step=LONG / 2)
    assert told.arrived == 0 and at > LONG


def test_packets_that_all_arrive_are_told_at_once(wire: tuple[socket.socket, socket.socket]) -> None:
    told, at = waited(*wire, nothing=False)
    assert told and at < LONG
