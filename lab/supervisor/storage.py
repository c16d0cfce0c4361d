"""The storage of a lab in its supervisor: started after the switches forward, written out before the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from dataplane.fabric.fabric import Fabric
from dataplane.storage.storage import LiveStorage, lacks
from lab.events.log import EventLog
from lab.naming import CLOSING, RUN
from lab.supervisor.hosts import refuse
from linux import syscalls
from topologies.model.topology import Topology

PATIENCE = 15.0
"""Seconds within which storage is written out at the end of a lab; ``lab.start.stop`` waits longer."""


def machine_must_have(topology: Topology) -> None:
    """Raise Failure, before anything is built, when this machine lacks what the storage needs."""
    refuse(lacks(topology.storage))


def prepare(topology: Topology, net: Fabric, file: str, events: EventLog) -> LiveStorage:
    """The storage, not started. ``file``: the path of the topology file."""

    def tell(text: str, data: Mapping[str, Any]) -> None:
        events.add("storage", text, data)

    kept = Path(file).absolute().parent
    return LiveStorage(topology, net.namespace_fd, net.place, RUN, kept, tell)


def close_at_end(storage: LiveStorage) -> Callable[[], None]:
    """From now on, SIGTERM writes the storage out before it ends the process; a function that only writes it
    out. Runs in the main thread."""
    once = threading.Lock()

    def close() -> None:
        if once.acquire(blocking=False):
            syscalls.name_process(CLOSING)
            closing = threading.Thread(target=storage.close, daemon=True)
            closing.start()
            closing.join(PATIENCE)

    def end(number: int, _frame: FrameType | None) -> None:
        # named here, in the main thread: it is the process's name, by which ``down`` sees why it takes longer
        syscalls.name_process(CLOSING)

        def last() -> None:
            close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            os._exit(128 + number)

        threading.Thread(target=last, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    return close
