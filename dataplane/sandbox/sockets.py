"""Packet sockets of processes that end, closed side by side.

The kernel waits for an RCU grace period (10 ms or more) for each packet socket that it closes, and an ending
process closes one after the other. So a switch with 200 ports would take two seconds to end. If many threads
close the sockets, they share the wait.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from linux import syscalls

FEW = 32
"""A process with so few descriptors may close them itself."""
MOST = 8192
"""A switch has at most some thousand ports."""
_WORKERS = 64


def taken_over(pids: Iterable[int]) -> list[int]:
    """Duplicates of the packet sockets of processes that have many descriptors, so that these can end without
    closing them.

    A process that has ended, or whose sockets the caller may not have, keeps its own. No other sockets are
    taken: to close them may wait for their peers (SO_LINGER, socket(7)).
    """
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            entries = list(Path(f"/proc/{pid}/fd").iterdir())
            if len(entries) > FEW:
                kept += _duplicates(pid, entries)
    return kept


def _duplicates(pid: int, entries: Iterable[Path]) -> list[int]:
    kept: list[int] = []
    pidfd = os.pidfd_open(pid)
    try:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if not entry.readlink().as_posix().startswith("socket:"):
                    continue
                duplicate = socket.socket(fileno=syscalls.pidfd_getfd(pidfd, int(entry.name)))
                if duplicate.family == socket.AF_PACKET:
                    kept.append(duplicate.detach())
                else:
                    duplicate.close()
            if len(kept) >= MOST:
                break
    except OSError:
        pass  # there is no room for more, or it has ended: it closes the others
    finally:
        os.close(pidfd)
    return kept


def close_side_by_side(descriptors: Sequence[int], workers: int = _WORKERS) -> None:
    """Close descriptors in several threads; returns when all are closed."""

    def close(share: Sequence[int]) -> None:
        for descriptor in share:
            os.close(descriptor)

    threads = [
        threading.Thread(target=close, args=(descriptors[i::workers],), daemon=True)
        for i in range(min(workers, len(descriptors)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def processes() -> list[int]:
    """The ids of all processes that the caller sees, except itself."""
    with contextlib.suppress(OSError):
        own = os.getpid()
        return [int(entry.name) for entry in Path("/proc").iterdir() if _is_another(entry.name, own)]
    return []


def _is_another(name: str, own: int) -> bool:
    return name.isdecimal() and int(name) != own
