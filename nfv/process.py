"""The common part of all functions' processes: waits for commands, descriptors and timers; runs programs.

It imports only modules that load fast, since every instance of a lab imports it.
"""

from __future__ import annotations

import os
import select
import sys
import time

from nfv.lines import REPLACE, commanded, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn


class Failed(Exception):
    """The function can't work; the text says what is wrong, and the remedy."""


class Loop:
    """Waits for several sources at the same time, and ends with the end of the standard input."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._jobs: list[tuple[float, float, Callable[[], None]]] = []
        self._agenda: tuple[Callable[[], float], Callable[[], None]] | None = None
        self._commands = b""

    def watch(self, fd: int, reader: Callable[[], None]) -> None:
        """Call ``reader`` whenever ``fd`` has something to read (or has ended)."""
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget ``fd``. Call this before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def every(self, seconds: float, job: Callable[[], None]) -> None:
        """Call ``job`` every so many seconds, for the first time after this interval."""
        self._jobs.append((time.monotonic() + seconds, seconds, job))

    def agenda(self, due: Callable[[], float], job: Callable[[], None]) -> None:
        """Call ``job`` whenever ``time.monotonic`` reaches the value of ``due``."""
        self._agenda = due, job

    def run(self, replace: Callable[[], None]) -> None:
        """Run until the standard input ends. ``replace`` is called for that command (see
        ``nfv.contract``)."""
        self._poll.register(0, select.POLLIN)
        while True:
            dues = [at for at, _, _ in self._jobs]
            if self._agenda is not None:
                dues.append(self._agenda[0]())
            wait = max(0.0, (min(dues) - time.monotonic()) * 1000) if dues else None
            for fd, _ in self._poll.poll(wait):
                if fd == 0:
                    if not self._command(replace):
                        return
                elif fd in self._readers:
                    self._readers[fd]()
            self._do_what_is_due()

    def _command(self, replace: Callable[[], None]) -> bool:
        data = os.read(0, 65536)
        if not data:
            return False
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            if commanded(line) == REPLACE:
                replace()
            else:
                print(f"sdnlab: unknown command {line!r}", file=sys.stderr, flush=True)
        return True

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for index, (at, seconds, job) in enumerate(self._jobs):
            if at <= now:
                # not at + seconds: after a stall, missed calls are not repeated
                self._jobs[index] = (now + seconds, seconds, job)
                job()
        if self._agenda is not None and self._agenda[0]() <= now:
            self._agenda[1]()


def content(name: str) -> str:
    """A file's text."""
    with open(name) as file:  # noqa: PTH123 (pathlib costs each start 10 ms)
        return file.read()


def fail(reason: object) -> NoReturn:
    """Report why the function does not work, and end."""
    say("state", state="failed", message=str(reason))
    sys.exit(1)


def running(message: str | None = None) -> None:
    """Report that the function works; ``message``: a note for the user."""
    if message is None:
        say("state", state="running")
    else:
        say("state", state="running", message=message)


def command(argv: Sequence[str], package: str, given: str | None = None) -> str:
    """Run a program to its end; its output. ``given`` is its standard input.

    Raises ``Failed`` if it is missing (``package`` contains it) or reports an error.
    """
    import subprocess

    try:
        done = subprocess.run(
            argv,
            input=given,
            stdin=None if given is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise Failed(missing(argv[0], package)) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Failed(f"{' '.join(argv[:3])}: {' | '.join(said[:4]) or f'ended with {done.returncode}'}")
    return done.stdout


def missing(program: str, package: str) -> str:
    """The message about a program that is not installed."""
    return f"there is no {program} on this machine; install it: apt-get install {package}"
