"""Ends a running lab from outside, and waits until nothing of it remains."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from lab.access.client import supervisor_pid
from lab.failure import Exit, Failure
from lab.naming import CLOSING
from lab.start import suspended
from linux.readiness import readable

GRACE = 2.0
"""Seconds to wait after SIGTERM before the supervisor's sandbox is killed."""
CLOSING_PATIENCE = 20.0
"""Seconds for a lab to write its storage out."""
MOMENT = 0.3
"""Seconds after which we look for the reason why a lab does not end."""


def stop(name: str, timeout: float = 10.0) -> None:
    """End the lab ``name``, even if it is being built or hangs, and wait until nothing of it remains.

    If another process ends it meanwhile, this is no error.
    """
    from dataplane.hosts.cgroups import removed_after

    pid = supervisor_pid(name)
    with removed_after(pid):
        _end(name, pid, timeout)


def _end(name: str, pid: int, timeout: float) -> None:
    try:
        supervisor = os.pidfd_open(pid)
        first = parent(pid)
        init = os.pidfd_open(first)
    except (OSError, ValueError, IndexError):
        return  # it ended between two looks
    deadline = time.monotonic() + timeout
    try:
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)
        ended = _ends(init, first, min(GRACE, timeout))
        if not ended and _closes(pid):
            deadline += CLOSING_PATIENCE
            ended = _ends(init, first, CLOSING_PATIENCE)
        if not ended:
            signal.pidfd_send_signal(init, signal.SIGKILL)
            suspended.go_on(first)
            if not readable([init], max(0.0, deadline - time.monotonic())):
                raise Failure(
                    f"lab {name} doesn't end",
                    f"a process in it hangs in the kernel; see: ps --ppid {pid}",
                    Exit.LOST,
                )
    except ProcessLookupError:
        return
    finally:
        os.close(supervisor)
        os.close(init)


def _ends(init: int, pid: int, timeout: float) -> bool:
    """Whether the process of the pidfd ``init`` ends in time; commands that are suspended are continued."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        if readable([init], min(MOMENT, left)):
            return True
        suspended.go_on(pid)
    return False


def _closes(pid: int) -> bool:
    """Whether the supervisor writes the lab's storage out."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == CLOSING
    return False


def parent(pid: int) -> int:
    """The parent of ``pid``: the sandbox's init, whose end is the end of every process inside."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
