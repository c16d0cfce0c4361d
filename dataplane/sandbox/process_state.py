"""What the kernel says of a process's state (proc(5), ``/proc/PID/stat``)."""

from __future__ import annotations

from pathlib import Path


def state_of(pid: int) -> str:
    """The letter of a process's state (proc(5)): ``T`` when a signal has stopped it (SIGSTOP), ``Z`` when it
    has ended and nobody has asked how; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal, and does nothing."""
    return state_of(pid) in ("T", "t")
