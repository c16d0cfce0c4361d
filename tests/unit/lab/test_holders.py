"""Whose an address is: others may take any, and neither become our labs nor keep us from having one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from lab import naming
from lab.access import holders
from lab.failure import Failure
from lab.start.inside import take_name

Listen = Callable[..., socket.socket]
NAME = f"test-{os.getpid()}"


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listen at an address."""
    opened: list[socket.socket] = []

    def listening(address: str, backlog: int = 5) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.append(sock)
        sock.bind(address)
        sock.listen(backlog)
        return sock

    yield listening
    for sock in opened:
        sock.close()


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Addresses that, as the kernel says, another user listens at."""
    theirs: set[str] = set()
    real = holders.peer

    def peer(sock: socket.socket) -> tuple[int, int]:
        name = sock.getpeername()
        text = name.decode() if isinstance(name, bytes) else name
        pid, uid = real(sock)
        return pid, uid + 1 if text in theirs else uid

    monkeypatch.setattr(holders, "peer", peer)
    return theirs


def test_a_strangers_address_is_no_lab(listen: Listen, strangers: set[str]) -> None:
    usual, other = naming.addresses(NAME)[:2]
    listen(usual)
    assert NAME in holders.running()
    assert holders.supervisor_pid(NAME) == os.getpid()
    strangers.add(usual)
    assert NAME in naming.claimed() and NAME not in holders.running()
    with pytest.raises(Failure, match="no lab named"):
        holders.supervisor_pid(NAME)
    listen(other)
    assert NAME in holders.running()
    with holders.connect(NAME) as sock:
        assert sock.getpeername() == other.encode()


def test_a_lab_takes_the_next_address_when_a_stranger_has_its_own(
    listen: Listen, strangers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "sethostname", lambda _: None)
    usual = naming.address(NAME)
    listen(usual)
    strangers.add(usual)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
        taken = take_name(first, NAME)
        assert taken == 1 and not holders.comes_before(NAME, taken)
        assert NAME in holders.running()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as second:
            taken = take_name(second, NAME)
            assert holders.comes_before(NAME, taken)  # one is running already
    strangers.clear()


def test_all_addresses_taken(listen: Listen) -> None:
    for address in naming.addresses(NAME):
        listen(address)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock,
        pytest.raises(Failure, match="others hold"),
    ):
        take_name(sock, NAME)


def test_who_takes_no_connection_is_passed_over(listen: Listen, strangers: set[str]) -> None:
    usual, other = naming.addresses(NAME)[:2]
    listen(usual, 0)
    strangers.add(usual)
    waiting = []
    while True:  # until its queue is full
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        waiting.append(sock)
        sock.setblocking(False)
        try:
            sock.connect(usual)
        except BlockingIOError:
            break
    try:
        assert NAME not in holders.running()
        with pytest.raises(TimeoutError):
            holders.connect(NAME, patience=0.01)
        listen(other)
        assert NAME in holders.running()
        holders.connect(NAME).close()
    finally:
        for sock in waiting:
            sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_the_kernel_says_who_it_is() -> None:
    ready, held = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held[1])
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(naming.address(NAME).replace("/65534/", "/0/"))
            sock.listen()
            os.write(ready[1], b"x")
            os.read(held[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        assert NAME in naming.claimed() and NAME not in holders.running()
    finally:
        os.close(held[1])
        os.waitpid(child, 0)
