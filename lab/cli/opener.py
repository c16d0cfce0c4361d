"""Opens packet sockets in a lab for a program outside, which gets them as descriptors.

A process with threads can't enter a user namespace (setns(2)), and a process that stays in a lab would be a
remain of it. So ``lab.scripting.ports`` starts this one, gets sockets from it (unix(7), SCM_RIGHTS), and it
ends. Who has such a socket needs no rights to use it: packet(7) checks them when it is opened.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import NoReturn

from lab.access.holders import supervisor_pid
from lab.cli.enter import NETNS, join
from lab.failure import Failure
from linux import syscalls

_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20


def main() -> NoReturn:
    """Read the order on the socket that is our standard input: the lab, and how many sockets in which
    namespaces. Answer with a message for each part of the order, in its order."""
    answers = socket.socket(fileno=os.dup(0))
    order = json.loads(answers.recv(1 << 20))
    try:
        join(supervisor_pid(order["lab"]), order["lab"])
        for netns, number in order["sockets"]:
            _send(answers, _opened(netns, number))
    except Failure as failure:
        answers.send(
            json.dumps({"failed": failure.what, "remedy": failure.remedy, "code": failure.code}).encode()
        )
    sys.exit()


def _opened(netns: str, number: int) -> list[socket.socket]:
    try:
        handle = os.open(NETNS / netns, os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(handle, syscalls.CLONE_NEWNET)
        os.close(handle)
        return [_packet_socket() for _ in range(number)]
    except OSError as error:
        raise Failure(f"can't open a socket there: {error.strerror}", "was the host removed?") from None


def _packet_socket() -> socket.socket:
    """A socket that receives nothing before it is bound to a device: its protocol is 0 (packet(7))."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):  # the first needs CAP_NET_ADMIN of the machine
        try:
            opened.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            break
        except OSError:
            continue
    return opened


def _send(answers: socket.socket, sockets: list[socket.socket]) -> None:
    socket.send_fds(answers, [b"{}"], [opened.fileno() for opened in sockets])
    for opened in sockets:
        opened.close()
