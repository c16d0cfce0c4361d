"""What checks need of a running lab."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from lab.checks.diagnosis import Ailing
from lab.checks.ways import Ways
from topologies.model.topology import Topology

OpenSocket = Callable[[], socket.socket]


class Room(Protocol):
    """A running lab, as checks need it; its methods may be called by several threads."""

    @property
    def topology(self) -> Topology: ...

    def still(self) -> AbstractContextManager[None]:
        """As long as it is open, nothing changes the lab. Raises Failure if something has, and Cancelled."""

    def open_socket(self, host: str) -> socket.socket:
        """A non-blocking raw socket at the port of a host. Raises OSError and KeyError."""

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        """The arguments of a program that runs ``words`` in a host. Raises OSError and KeyError."""

    def ailing(self) -> Ailing:
        """What does not work at present."""

    def watching(
        self, switches: Sequence[str], functions: Sequence[str] = (), links: Sequence[str] = ()
    ) -> AbstractContextManager[dict[str, OpenSocket]]:
        """What opens sockets that see the frames of switches, of functions' instances (``fw.1:in``) and of
        underlay links, by the names of these points, as long as it is open. The lab must stand ``still``."""


class Cancelled(Exception):
    """The checks were interrupted."""


@dataclass(frozen=True)
class Visit:
    """A run of checks in a lab: what a verb's action gets. ``cancelled``: whether it must end."""

    room: Room
    ways: Ways
    cancelled: Callable[[], bool]

    def rest(self, seconds: float) -> None:
        """Wait. Raises Cancelled."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.cancelled():
                raise Cancelled
            time.sleep(min(left, 0.1))
        if self.cancelled():
            raise Cancelled
