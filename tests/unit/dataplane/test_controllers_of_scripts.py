"""Who counts as a controller that runs outside of a script's sandbox."""

from __future__ import annotations

import socket

import pytest

from dataplane.mininet_scripts.controllers import says_hello


@pytest.mark.parametrize(
    ("said", "speaks"),
    [
        (b"\x01\x00\x00\x08\x00\x00\x00\x01", True),  # OpenFlow 1.0
        (b"\x06\x00\x00\x10\x00\x00\x00\x01\x00\x01\x00\x08\x00\x00\x00\x7e", True),  # 1.5, with versions
        (b"\x04\x01\x00\x08\x00\x00\x00\x01", False),  # an error is no beginning
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"\x04", False),
        (b"", False),
    ],
)
def test_only_who_says_hello_is_a_controller(said: bytes, speaks: bool) -> None:
    near, far = socket.socketpair()
    with far:
        far.sendall(said)
        far.shutdown(socket.SHUT_WR)
        assert says_hello(near) is speaks
    assert near.fileno() == -1


def test_who_accepts_and_says_nothing_is_none() -> None:
    near, far = socket.socketpair()  # as a proxy that accepts connections for any address
    with far:
        assert not says_hello(near, patience=0.01)
