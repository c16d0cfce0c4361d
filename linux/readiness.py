"""Which descriptors can be read, by poll(2).

``select.select`` refuses descriptors from 1,024 on, and a lab of 400 hosts has that many.
"""

from __future__ import annotations

import errno
import math
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol, TypeVar

    class HasDescriptor(Protocol):
        """A socket or a file."""

        def fileno(self) -> int: ...

    Some = TypeVar("Some", bound=int | HasDescriptor)


def readable(sources: Iterable[Some], timeout: float | None = None) -> list[Some]:
    """Those that can be read without waiting, or have ended; waits for the first, so many seconds at most."""
    return ready(sources, (), timeout)[0]


def ready(
    sources: Iterable[Some], sinks: Iterable[Some], timeout: float | None = None
) -> tuple[list[Some], list[Some]]:
    """The ``sources`` that can be read and the ``sinks`` that can be written without waiting; waits for the
    first, so many seconds at most (None: as long as it takes). Raises OSError for a closed one."""
    reading = {_descriptor(source): source for source in sources}
    writing = {_descriptor(sink): sink for sink in sinks}
    poller = select.poll()
    for descriptor in {*reading, *writing}:
        wanted = select.POLLIN if descriptor in reading else 0
        poller.register(descriptor, wanted | (select.POLLOUT if descriptor in writing else 0))
    events = dict(poller.poll(None if timeout is None else math.ceil(max(0.0, timeout) * 1000)))
    if any(event & select.POLLNVAL for event in events.values()):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    over = select.POLLHUP | select.POLLERR
    return (
        [source for at, source in reading.items() if events.get(at, 0) & (select.POLLIN | over)],
        [sink for at, sink in writing.items() if events.get(at, 0) & (select.POLLOUT | over)],
    )


def _descriptor(some: int | HasDescriptor) -> int:
    return some if isinstance(some, int) else some.fileno()
