"""A process's state from the kernel (proc(5), ``/proc/PID/stat``)."""

from __future__ import annotations

from pathlib import Path


def state_of(pid: int) -> str:
    """The letter of a process's state (proc(5)); empty if there is no such process.

    ``T``: a signal has stopped it (SIGSTOP); ``Z``: it has ended, but its parent has not waited for it.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process."""
    return state_of(pid) in ("T", "t")
