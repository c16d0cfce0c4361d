"""The supervisor's end of the stream to ``up``: while ``up`` holds the leash, the lab ends with it."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from lab.failure import Exit
from lab.start.messages import Detach, Go, Message, Prepare, Prepared, StageDone, encode, heard

if TYPE_CHECKING:
    from lab.messages.lab import Stage
    from topologies.model.hosts import Host

T = TypeVar("T")


class Leash:
    """The stream to ``up``: stages, then readiness or failure. ``up`` may answer that the lab stays."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._held = True
        self._go = threading.Event()
        self._prepared = threading.Event()
        self.before_end: Callable[[], None] = lambda: None
        """Called before the lab ends because ``up`` has ended."""
        threading.Thread(target=self._hold, name="leash", daemon=True).start()

    def say(self, message: Message) -> None:
        """Send a message to ``up`` after it has begun to listen; it may have ended."""
        self._go.wait()
        try:
            self._stream.sendall(encode(message))
        except OSError:
            if self._held:
                os._exit(Exit.INTERRUPTED)

    def prepare(self, hosts: Sequence[Host]) -> None:
        """Let ``up`` prepare these hosts, outside the sandbox; if it can't, it ends the lab."""
        self.say(Prepare(tuple(host.model_dump(mode="json") for host in hosts)))
        self._prepared.wait()

    def _hold(self) -> None:
        try:
            self._follow()
        except Exception:
            traceback.print_exc()  # without this thread, the lab could outlive ``up``
        if not self._held:
            return
        self.before_end()
        os._exit(Exit.INTERRUPTED)

    def _follow(self) -> None:
        """Read until ``up`` ends or lets the lab go."""
        for message in heard(self._stream):
            match message:
                case Go():
                    self._go.set()
                case Prepared():
                    self._prepared.set()
                case Detach():
                    self._held = False
                    return


class Stages:
    """Measures the stages of the start and reports each to ``up``."""

    def __init__(self, leash: Leash) -> None:
        self.done: list[Stage] = []
        self.current = "sandbox"
        self._leash = leash

    def report(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        self.done.append({"name": name, "seconds": seconds})
        self._leash.say(StageDone(name, seconds))

    def run(self, name: str, action: Callable[[], T]) -> T:
        """Do ``action`` as the stage ``name``."""
        self.current = name
        begin = time.monotonic()
        result = action()
        self.report(name, time.monotonic() - begin)
        return result
