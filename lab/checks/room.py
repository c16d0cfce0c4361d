"""What checks need of a running lab."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from lab.checks.ways import Ways
from topologies.model.topology import Topology


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
