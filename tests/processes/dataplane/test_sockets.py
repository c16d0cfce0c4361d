"""Packet sockets of an ending process, which others close."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataplane.sandbox.sockets import FEW, close_side_by_side, taken_over

HOLDER = """
import os, socket, sys
packet = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(int(sys.argv[1]))]
other = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(int(sys.argv[2]))]
print("there", flush=True)
sys.stdin.read()
"""

root = pytest.mark.skipif(os.geteuid() != 0, reason="packet sockets need root")


@contextmanager
def holder(packet: int, other: int) -> Iterator[int]:
    command = [sys.executable, "-c", HOLDER, str(packet), str(other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stdout.readline() == b"there\n"
        yield process.pid
        process.stdin.close()


@root
def test_packet_sockets_of_a_process_that_has_many_are_taken_and_closed() -> None:
    with holder(FEW, 5) as pid:
        taken = taken_over([pid])
        families = [socket.socket(fileno=os.dup(fd)).family for fd in taken]
        assert families == [socket.AF_PACKET] * FEW
    close_side_by_side(taken)
    for descriptor in taken:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@root
def test_a_process_that_has_few_or_that_has_ended_keeps_its_own() -> None:
    with holder(3, 3) as pid:
        assert taken_over([pid]) == []
    assert taken_over([pid]) == []
    close_side_by_side([])
