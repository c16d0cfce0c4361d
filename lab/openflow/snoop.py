"""Listens to the OpenFlow messages of switches at Open vSwitch's own sockets for that (ovs-ofctl(8), snoop).

ovs-vswitchd has such a socket for each bridge, and copies messages only to who is connected to it. With
several controllers, it shows the session of one, the primary if there is one. Hello messages are not copied.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.openflow.decoding import Message, decode
from lab.openflow.stream import GREETING, Stream

_AGAIN = 0.2
"""Seconds between two attempts to reach a switch that is gone, or comes back."""


@dataclass(frozen=True)
class Overheard:
    """A message of a switch's session. ``at``: Unix time when it was heard; ``octets``: the whole message."""

    switch: str
    at: float
    message: Message
    octets: bytes


@dataclass
class _Ear:
    switch: str
    end: socket.socket
    stream: Stream


class NotThere(Exception):
    """A switch has no such socket: it is down, or its daemon is being restarted."""


def overhear(sockets: Mapping[str, Path], until: float | None, again: bool) -> Iterator[Overheard]:
    """The messages of switches, as they come. ``sockets``: switch -> the path of its socket.

    ``until``: the time, by ``time.monotonic``, at which it ends; None: never. ``again``: a switch that is not
    there, or goes, is looked for until it is there. Otherwise ``NotThere`` is raised for one that is not
    there at the beginning.
    """
    with contextlib.closing(selectors.DefaultSelector()) as selector:
        missing = dict(sockets)
        tried = 0.0
        while True:
            now = time.monotonic()
            if until is not None and now >= until:
                return
            if missing and now - tried >= _AGAIN:
                tried = now
                _listen(missing, selector, again)
            left = _AGAIN if missing else 1.0
            for key, _ in selector.select(left if until is None else max(0.0, min(left, until - now))):
                ear: _Ear = key.data
                data = _read(ear.end)
                for octets in ear.stream.feed(data or b""):
                    yield Overheard(ear.switch, time.time(), decode(octets), octets)
                if data is None or ear.stream.broken:
                    selector.unregister(ear.end)
                    ear.end.close()
                    missing[ear.switch] = sockets[ear.switch]


def _listen(missing: dict[str, Path], selector: selectors.BaseSelector, again: bool) -> None:
    """Connect to the switches that are there, and remove them from ``missing``."""
    for switch, path in list(missing.items()):
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.connect(str(path))
            end.sendall(GREETING)
        except OSError as error:
            end.close()
            if not again:
                raise NotThere(switch) from error
            continue
        end.setblocking(False)
        selector.register(end, selectors.EVENT_READ, _Ear(switch, end, Stream()))
        del missing[switch]


def _read(end: socket.socket) -> bytes | None:
    """What has come; None when the session is over."""
    try:
        return end.recv(1 << 18) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
