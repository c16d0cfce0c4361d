"""The worker process that forks hosts' servers (see ``serving_rooms``); it has imported all their modules."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import NoReturn

from dataplane.hosts import room as rooms
from dataplane.hosts import serving
from dataplane.hosts.driver import unpacked
from dataplane.hosts.serving_rooms import MOST
from linux import syscalls


def main() -> None:
    """Serve requests from the standard input, a SOCK_SEQPACKET socket, until its end."""
    channel = socket.socket(fileno=os.dup(0))
    while True:
        request, fds, _, _ = socket.recv_fds(channel, MOST, 2)
        if not request:
            return
        try:
            place, *servers = json.loads(request)
            answer = str(_start(rooms.find(unpacked(place)), servers, fds))
        except (OSError, rooms.RoomError) as error:
            answer = f"! {error}"
        for fd in fds:
            os.close(fd)
        channel.send(answer.encode())


def _start(room: rooms.Room, servers: Sequence[str], fds: Sequence[int]) -> int:
    told, tells = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            try:
                syscalls.setns(room.pid, syscalls.CLONE_NEWPID)
                child = os.fork()
                if child == 0:
                    _serve(room, servers, fds)
                os.write(tells, str(child).encode())
            except OSError as error:
                os.write(tells, f"! {error}".encode())
            finally:
                os._exit(0)
        os.waitpid(between, 0)
        os.close(tells)
        tells = -1
        said = os.read(told, 4096).decode()
    finally:
        room.close()
        os.close(told)
        if tells >= 0:
            os.close(tells)
    if not said.isdecimal():
        raise OSError(said.removeprefix("! ") or "it has ended")
    return int(said)


def _serve(room: rooms.Room, servers: Sequence[str], fds: Sequence[int]) -> NoReturn:
    try:
        os.setsid()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        rooms.enter(room)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        serving.serve(room.name, servers)
    except OSError as error:
        os.write(1, f"failed: {error}\n".encode())
    finally:
        os._exit(0)
