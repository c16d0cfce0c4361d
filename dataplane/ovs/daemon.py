"""One daemon of a lab, which is restarted whenever it ends, until the lab ends."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

BACKOFF = (0.0, 0.0, 0.2, 0.5, 1.0)
"""Seconds before the n-th restart in a row of a daemon that keeps ending."""
STEADY = 2.0
"""After so many seconds of running, a daemon that ends is restarted without delay."""
HEAL_AGAIN = 0.5
"""Seconds until a daemon that did not begin to work is checked again."""
HOPELESS = 4
"""After so many ends in a row, nothing waits for the daemon any more."""


class News(NamedTuple):
    """An event of a daemon.

    ``dead``: it has ended, and is being restarted; ``returned``: its successor ``pid`` runs, but does not
    work yet; ``working``: it works.  ``words``: a text about how it ended, or why it can't start.
    """

    program: str
    state: Literal["dead", "returned", "working"]
    pid: int
    words: str = ""


class Daemon:
    """A daemon, and the thread that keeps it running.

    ``start`` starts its process; ``heal`` returns when a restarted process works, and raises if it doesn't;
    that thread calls ``tell`` with each event.
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
        """How often it has ended in a row."""
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
        """Don't restart it any more; its process, which the caller must end."""
        with self._over:
            self._ended.set()
        return self.process

    def replace(self, why: str) -> None:
        """End its process; a successor starts immediately. This does not count as an end in a row.

        ``why``: a text.
        """
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
            # In a thread beside the wait for its next end: it may never begin to work.
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
        """Report when ``process`` works. A reason why it doesn't (such as another stopped process) may be
        temporary."""
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
