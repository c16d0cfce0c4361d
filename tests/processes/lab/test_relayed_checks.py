"""Connections and datagrams of checks that a program in the host makes; here it runs beside the test."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest

from lab.checks import relayed
from lab.checks.relayed import datagrams, stream
from lab.checks.retrying import Impossible
from lab.checks.room import Cancelled, Visit

Rewrite = Callable[[Sequence[str]], list[str]]


class Place:
    """What a room does for a host: it says how to run a program there."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        assert host == "v1"
        return self._rewrite(words)


def here(words: Sequence[str]) -> list[str]:
    return [sys.executable, *words[1:]]


def visit(rewrite: Rewrite = here, cancelled: bool = False) -> Visit:
    return Visit(cast(Any, Place(rewrite)), cast(Any, None), lambda: cancelled)


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    return str(request.param)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def server(address: str) -> Iterator[Callable[[socket.SocketKind], socket.socket]]:
    opened: list[socket.socket] = []

    def open_(kind: socket.SocketKind) -> socket.socket:
        opened.append(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind))
        opened[-1].bind((address, 0))
        opened[-1].settimeout(20)
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def port_of(opened: socket.socket) -> int:
    return int(opened.getsockname()[1])


def test_a_stream_carries_both_ways_and_ends(address: str, server: Any) -> None:
    listener = server(socket.SOCK_STREAM)
    listener.listen(1)
    with stream("v1", address, port_of(listener), 5.0, visit()) as ours:
        far, _ = listener.accept()
        with far:
            far.settimeout(20)
            ours.sendall(b"a" * 300_000)
            assert _exactly(far, 300_000) == b"a" * 300_000
            far.sendall(b"b" * 300_000)
            ours.settimeout(20)
            assert _exactly(ours, 300_000) == b"b" * 300_000
            far.shutdown(socket.SHUT_WR)
            assert ours.recv(1) == b""


def test_the_far_end_hears_that_we_hung_up(address: str, server: Any) -> None:
    listener = server(socket.SOCK_STREAM)
    listener.listen(1)
    with stream("v1", address, port_of(listener), 5.0, visit()):
        far, _ = listener.accept()
    with far:
        far.settimeout(20)
        assert far.recv(1) == b""


def test_a_refused_connection_says_so(address: str, server: Any) -> None:
    port = port_of(server(socket.SOCK_STREAM))  # nobody listens
    with (
        pytest.raises(ConnectionRefusedError, match="Connection refused"),
        stream("v1", address, port, 5.0, visit()),
    ):
        pass


def test_datagrams_keep_their_borders(address: str, server: Any) -> None:
    far = server(socket.SOCK_DGRAM)
    with datagrams("v1", address, port_of(far), 20.0, visit()) as ours:
        ours.send(b"one")
        ours.send(b"")
        ours.send(b"three")
        heard = [far.recvfrom(100) for _ in range(3)]
        assert [data for data, _ in heard] == [b"one", b"", b"three"]
        for data in (b"x" * 1400, b"y"):
            far.sendto(data, heard[0][1])
        assert (ours.recv(4096), ours.recv(4096)) == (b"x" * 1400, b"y")


def test_a_port_that_nobody_has_is_an_error_of_the_datagram(address: str, server: Any) -> None:
    far = server(socket.SOCK_DGRAM)
    port = port_of(far)
    far.close()
    with datagrams("v1", address, port, 20.0, visit()) as ours:
        ours.send(b"query")
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            ours.recv(4096)


def test_silence_is_a_timeout(server: Any, address: str) -> None:
    far = server(socket.SOCK_DGRAM)
    with datagrams("v1", address, port_of(far), 20.0, visit()) as ours:
        ours.settimeout(0.05)
        with pytest.raises(TimeoutError):
            ours.recv(4096)


@pytest.mark.parametrize(
    ("rewrite", "why"),
    [
        (lambda words: ["/nowhere/python3"], "no program runs in v1: .*No such file"),
        (
            lambda words: ["sh", "-c", "echo 'v1: it is off: sdnlab vm start v1' >&2; exit 1"],
            "has ended: v1: it is off: sdnlab vm start v1",
        ),
        (lambda words: ["sh", "-c", "exit 1"], "has ended: it says nothing"),
    ],
)
def test_a_host_that_runs_nothing_makes_it_impossible(rewrite: Rewrite, why: str) -> None:
    with pytest.raises(Impossible, match=why), stream("v1", "127.0.0.1", 1, 1.0, visit(rewrite)):
        pass


def test_a_host_that_stands_still_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "STARTING", 0.0)
    monkeypatch.setattr(relayed, "ENDING", 0.0)
    began = time.monotonic()
    with pytest.raises(Impossible, match="has not begun"), stream("v1", "127.0.0.1", 1, 0.0, visit(_still)):
        pass
    with pytest.raises(Cancelled), stream("v1", "127.0.0.1", 1, 1.0, visit(_still, cancelled=True)):
        pass
    assert time.monotonic() - began < 60


def _still(words: Sequence[str]) -> list[str]:
    return ["sleep", "1000"]


def _exactly(opened: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = opened.recv(count - len(data))
        assert piece
        data += piece
    return data
