"""Sends one packet, and collects where it and its answer are seen, by raw sockets only."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

from lab.packets.tagged import Direction, Tag
from lab.tracing.points import Point

LINGER = 0.15
"""Seconds after the packet has got where it should: copies that nobody expects are seen, too."""
_MOST = 1 << 16
_MANY = 2000
"""Frames read at one socket before the others have their turn."""


class Sighting(NamedTuple):
    """The packet, or its answer, at a point; ``when`` in seconds after it was sent."""

    point: Point
    direction: Direction
    data: bytes
    when: float


def send_and_watch(
    points: Iterable[Point],
    open_at: Callable[[str, str], socket.socket],
    sender: tuple[str, str],
    data: bytes,
    enough: Callable[[list[Sighting]], bool],
    seconds: float,
) -> list[Sighting]:
    """Send ``data`` from a device, and return what was seen of it, in order.

    ``open_at``: a non-blocking raw socket of what arrives at a device of a namespace. Ends ``LINGER`` after
    ``enough`` says so, or after ``seconds``. Raises OSError when a device is gone.
    """
    tag, sightings = Tag(data), list[Sighting]()
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for point in points:
            raw = stack.enter_context(open_at(point.netns, point.device))
            selector.register(raw, selectors.EVENT_READ, point)
        out = stack.enter_context(open_at(*sender))
        began = time.monotonic()
        out.send(data)
        until = began + seconds
        satisfied = False
        while (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                _read(key.fileobj, key.data, tag, sightings, began)  # type: ignore[arg-type]
            if not satisfied and enough(sightings):
                satisfied, until = True, min(until, time.monotonic() + LINGER)
    return sightings


def _read(raw: socket.socket, point: Point, tag: Tag, sightings: list[Sighting], began: float) -> None:
    for _ in range(_MANY):
        try:
            data = raw.recv(_MOST)
        except OSError:
            return  # nothing more, or the device went away
        direction = tag.direction(data)
        if direction is not None:
            sightings.append(Sighting(point, direction, data, time.monotonic() - began))
