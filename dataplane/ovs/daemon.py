"""One daemon of a lab, started again whenever it ends, for as long as the lab lives."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

BACKOFF = (0.0, 0.0, 0.2, 0.5, 1.0)
"""Seconds before the n-th start in a row of one that keeps ending."""
STEADY = 2.0
"""Seconds; who ran for so long was at work, and is started again at once."""
HEAL_AGAIN = 0.5
"""Seconds until one that did not come to work is looked at again."""
HOPELESS = 4
"""So many ends in a row, and nobody waits for it any more."""


class News(NamedTuple):
    """What became of a daemon.

    ``dead``: it has ended, and is started again; ``returned``: its successor ``pid`` runs, but does not do
    its work yet; ``working``: it does.  ``words``: how it ended, or why it can't be started.
    """

    program: str
    state: Literal["dead", "returned", "working"]
    pid: int
    words: str = ""


class Daemon:
    """A daemon and the thread that keeps it.

    ``start`` starts its process; ``heal`` returns when a process that was started again does its work, and
    raises when it doesn't come to that; ``tell`` hears what becomes of it, from that thread.
    """

    def __init__(
        self,
        program: str,
        start: Callable[[], subprocess.Popen[bytes]],
        heal: Callable[[], None],
        tell: Callable[[News], None],
    ) -> None:
        self.program = program
        self.in_a_row = 0
        """How often it has ended without having been steady in between."""
        self.began = time.monotonic()
        """When its process was started."""
        self._start, self._heal, self._tell = start, heal, tell
        self._ended = threading.Event()
        self._replaced = ""
        self._over = threading.Lock()
        self.process = start()
        threading.Thread(target=self._keep, name=program, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""
        return self.process.pid if self.process.poll() is None else 0

    @property
    def hopeless(self) -> bool:
        """Whether it ends again and again."""
        return self.in_a_row >= HOPELESS

    def stop(self) -> subprocess.Popen[bytes]:
        """Let it not be started again; its process, which is the caller's to end."""
        with self._over:
            self._ended.set()
        return self.process

    def replace(self, why: str) -> None:
        """End its process; a successor starts at once, and it does not count as one that keeps ending.
        ``why``: in words."""
        self._replaced = why
        self.process.kill()

    def _keep(self) -> None:
        while True:
            code = self.process.wait()
            if self._ended.is_set():
                return
            why, self._replaced = self._replaced, ""
            steady = bool(why) or time.monotonic() - self.began > STEADY
            self.in_a_row = 1 if steady else self.in_a_row + 1
            self._tell(News(self.program, "dead", 0, why or _how(code)))
            while not self._again():
                if self._ended.is_set():
                    return
                self.in_a_row += 1
            self._tell(News(self.program, "returned", self.process.pid))
            # Beside the wait for its next end: what it is waited for may never come.
            threading.Thread(target=self._healing, args=(self.process,), daemon=True).start()

    def _again(self) -> bool:
        if self._ended.wait(BACKOFF[min(self.in_a_row - 1, len(BACKOFF) - 1)]):
            return False
        try:
            with self._over:
                if self._ended.is_set():
                    return False
                self.process, self.began = self._start(), time.monotonic()
        except Exception as error:
            self._tell(News(self.program, "dead", 0, f"can't be started: {error}"))
            return False
        return True

    def _healing(self, process: subprocess.Popen[bytes]) -> None:
        """Say when ``process`` works; what keeps it from that (another that is stopped, say) may pass."""
        told = ""
        while process is self.process and process.poll() is None and not self._ended.is_set():
            try:
                self._heal()
            except Exception as error:
                if str(error) != told:
                    told = str(error)
                    print(f"{self.program}: {told}", flush=True)  # into the log
                self._ended.wait(HEAL_AGAIN)
                continue
            if process is self.process and process.poll() is None:
                self._tell(News(self.program, "working", process.pid))
            return


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
