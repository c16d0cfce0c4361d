"""Fake processes of functions and fake daemons, for tests: they write given messages, and record what they
receive.

They stand in for what ``dataplane.fabric.functions`` and ``dataplane.ovs.daemon`` start.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any


class PretendedProcess:
    """A fake process. ``die`` ends it; if ``answers``, it answers ``replace`` with ``state``."""

    def __init__(self, pid: int, answers: bool = True) -> None:
        reader, self._writer = os.pipe()
        self.output: IO[bytes] = os.fdopen(reader, "rb")
        self.pid, self.answers = pid, answers
        self.heard: list[Any] = []
        self.files: dict[str, bytes] = {}
        self.code = 0
        self.last_words = ""
        self._lock = threading.Lock()
        self._open = True

    def say(self, event_type: str, **fields: Any) -> None:
        self.write_raw(json.dumps({"timestamp": "", "event_type": event_type, **fields}).encode() + b"\n")

    def write_raw(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._writer, data) :]

    def die(self, code: int) -> None:
        with self._lock:
            if self._open:
                self._open, self.code = False, code
                os.close(self._writer)

    def tell(self, line: bytes) -> bool:
        self.heard.append(json.loads(line))
        if self.answers:
            self.say("state", state="running")
        return True

    def ask_to_end(self) -> None:
        self.die(0)

    def kill(self) -> None:
        self.die(-9)

    def reap(self) -> int:
        self.output.close()
        return self.code

    def write(self, files: Mapping[str, bytes]) -> None:
        self.files |= files

    def end(self, patience: float) -> int:
        self.die(0)
        return self.code


class PretendedStarter:
    """Starts fake processes, which report immediately that they run, unless ``silent``."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Any, PretendedProcess]] = []
        self.removed: list[str] = []
        self.refuses = ""
        self.silent = False
        self._lock = threading.Lock()

    def start(self, instance: str, program: Any) -> PretendedProcess:
        if self.refuses:
            raise OSError(self.refuses)
        with self._lock:
            process = PretendedProcess(len(self.started) + 1)
            self.started.append((instance, program, process))
        if not self.silent:
            process.say("state", state="running")
        return process

    def remove(self, instance: str) -> None:
        self.removed.append(instance)

    def of(self, instance: str) -> PretendedProcess:
        """The newest process of an instance."""
        return [process for name, _, process in self.started if name == instance][-1]


@dataclass
class PretendedDaemon:
    """A daemon that runs, began so long ago (seconds, monotonic), and ended ``in_a_row`` times before.

    ``replaced``: why, each time that it was.
    """

    began: float
    in_a_row: int = 0
    pid: int = 7
    replaced: list[str] = field(default_factory=list)

    def replace(self, why: str) -> None:
        self.replaced.append(why)
