"""A process that is a copy of this one: it has what this one has imported, in the same memory.

A new Python would start and import it again, which is half of what a controller takes until it runs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

from linux import syscalls


class Copy:
    """A child that runs a function. ``pid``, ``poll``, ``wait`` and ``kill`` are as ``subprocess.Popen`` has
    them; several threads may call them."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._reaping = threading.Lock()

    def poll(self) -> int | None:
        """How it ended, -N for signal N; None: it runs."""
        with self._reaping:
            if self._code is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
            return self._code

    def wait(self) -> int:
        """Wait for its end; how it ended."""
        while (code := self.poll()) is None:
            # It stays a zombie: its number is nobody else's until ``poll`` has asked.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return code

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        with self._reaping:
            if self._code is None:
                os.kill(self.pid, signal.SIGKILL)


def copy(body: Callable[[], int], name: str, log: Path, keep: Collection[int]) -> Copy:
    """Run ``body`` in a copy of this process, which has one thread; it ends with the code that ``body``
    returns.

    ``name``: as ps shows it; ``log``: the file of its output, its folder is the child's; ``keep``: the
    descriptors that it inherits. Raises OSError.
    """
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            _become(body, name, log.parent, output, keep)
        return Copy(pid)
    finally:
        os.close(output)


def _become(body: Callable[[], int], name: str, folder: Path, output: int, keep: Collection[int]) -> None:
    """What the child does; it never returns."""
    code = 1
    try:
        gc.freeze()  # to look at the objects of both would give each a copy of their memory
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in enumerate((null, output, output)):
            os.dup2(source, target)
        sys.stdout, sys.stderr = (open(fd, "w", 1, closefd=False) for fd in (1, 2))  # noqa: SIM115
        first = 3
        for fd in sorted(keep):
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, 1 << 20)
        os.chdir(folder)
        syscalls.name_process(name)
        code = body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
