"""Keeps one instance's process running: starts it, reads its messages, restarts it when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Protocol

from lab.functions.backoff import restart_delay
from lab.functions.gate import Gate
from lab.functions.lines import Line, read
from lab.functions.messages import State
from lab.functions.state import InstanceRecord

if TYPE_CHECKING:
    from nfv.contract import Program

MAX_LINE = 256 * 1024
"""Bytes of a line; longer lines are dropped."""
STEADY = 10.0
"""After so many seconds of running, a process that dies is restarted without delay."""
END_PATIENCE = 1.0
"""Seconds to wait for a process to end by itself."""


class Running(Protocol):
    """The interface of a function's process, as in ``dataplane.fabric.functions.FunctionProcess``."""

    @property
    def pid(self) -> int: ...
    @property
    def output(self) -> IO[bytes]: ...
    @property
    def last_words(self) -> str: ...
    def tell(self, line: bytes) -> bool: ...
    def ask_to_end(self) -> None: ...
    def kill(self) -> None: ...
    def reap(self) -> int: ...
    def write(self, files: Mapping[str, bytes]) -> None: ...
    def end(self, patience: float) -> int: ...


class Starter(Protocol):
    """Starts an instance's process in its namespace; raises an exception with a message."""

    def start(self, instance: str, program: Program) -> Running: ...
    def remove(self, instance: str) -> None: ...


class Listener(Protocol):
    """The callbacks about the state of a process."""

    def starting(self, record: InstanceRecord) -> None: ...
    def started(self, record: InstanceRecord, pid: int) -> None: ...
    def said(self, record: InstanceRecord, line: Line, quiet: bool) -> None: ...
    def held_back(self, record: InstanceRecord, number: int) -> None: ...
    def dead(self, record: InstanceRecord, how: str) -> None: ...
    def stopped(self, record: InstanceRecord) -> None: ...


class Keeper:
    """One instance's process. A thread of its own starts it, reads its messages, and restarts it."""

    def __init__(
        self, listener: Listener, starter: Starter, record: InstanceRecord, program: Program
    ) -> None:
        self.record, self.program = record, program
        self.process: Running | None = None
        self.wanted = False
        self.replaced = 0
        """How many ``state`` lines it has written. The answer to a ``replace`` is one more."""
        self._listener, self._starter = listener, starter
        self._gate, self._accounts = Gate(), Gate(rate=10.0, most=100.0)
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start it, unless it is running."""
        if self._thread is not None and self._thread.is_alive() and self.wanted:
            return
        self.join()
        self._listener.starting(self.record)
        self.wanted = True
        self._wake.clear()
        self._thread = threading.Thread(target=self._keep, name=self.record.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; it is not started again."""
        self.wanted = False
        self._wake.set()
        process = self.process
        if process is not None:
            process.ask_to_end()

    def join(self) -> None:
        """Wait until it has ended, and kill it when it does not."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(END_PATIENCE)
        process = self.process
        if thread.is_alive() and process is not None:
            process.kill()
        thread.join(END_PATIENCE * 10)

    def _keep(self) -> None:
        in_a_row = 0
        while self.wanted:
            began = time.monotonic()
            try:
                self.process = self._starter.start(self.record.name, self.program)
            except Exception as error:
                self._listener.dead(self.record, f"can't be started: {error}")
            else:
                if not self.wanted:  # it was ended during its start
                    self.process.ask_to_end()
                self._listener.started(self.record, self.process.pid)
                self._listen(self.process)
                code, words = self.process.reap(), self.process.last_words
                self.process = None
                if not self.wanted:
                    break
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                self._listener.dead(self.record, f"died ({how})" + (f": {words}" if words else ""))
            in_a_row = 0 if time.monotonic() - began > STEADY else in_a_row + 1
            self._wake.wait(restart_delay(in_a_row - 1 if in_a_row else 0))
        self._listener.stopped(self.record)

    def _listen(self, process: Running) -> None:
        stream, dropping = process.output, False
        while written := stream.readline(MAX_LINE):
            whole = written.endswith(b"\n")
            line = None if dropping or not whole else read(written)
            dropping = not whole
            if line is not None:
                if isinstance(line.message, State):
                    self.replaced += 1
                quiet = line.pace == "measure"
                gate = self._accounts if line.pace == "account" else self._gate
                self._listener.said(self.record, line, quiet or not gate.passes(time.monotonic()))
                if quiet and (held := self._gate.told() + self._accounts.told()):
                    self._listener.held_back(self.record, held)
