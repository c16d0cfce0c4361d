"""Finds the user and process that hold a lab's address. Any user may bind any abstract name, so we ask the
kernel.

Another user may take a lab's usual address before the lab starts.  Then the lab takes the next of
``naming.addresses``, and a search for the lab skips addresses of other users.
"""

from __future__ import annotations

import os
import socket
import struct

from lab import naming
from lab.failure import Exit, Failure

_PEER = struct.Struct("iII")
BUSY_PATIENCE = 2.0
"""Seconds to wait for a listener whose queue is full."""


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user id at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    pid, uid, _gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


def connect(name: str, timeout: float | None = None, patience: float = BUSY_PATIENCE) -> socket.socket:
    """A connection to the caller's lab ``name``; ConnectionRefusedError when it doesn't run.

    ``timeout``: the timeout of the returned connection, in seconds. Raises TimeoutError when a listener
    accepts nothing within ``patience`` seconds, so that its user stays unknown.
    """
    busy = False
    for seconds in (0.0, patience):
        for address in naming.addresses(name):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(seconds)
                sock.connect(address)
                if peer(sock)[1] == os.getuid():
                    sock.settimeout(timeout)
                    return sock
            except (BlockingIOError, TimeoutError):
                busy = True
            except OSError:  # no process listens
                pass
            except BaseException:
                sock.close()
                raise
            sock.close()
        if not busy or not patience:
            break
    if busy:
        raise TimeoutError
    raise ConnectionRefusedError


def running() -> list[str]:
    """Names of the caller's running labs (in this network namespace)."""
    return [name for name in naming.claimed() if holds(name)]


def holds(name: str) -> bool:
    """Whether a lab ``name`` of the caller's runs."""
    try:
        connect(name, patience=0.0).close()
    except OSError:
        return False
    return True


def comes_before(name: str, taken: int) -> bool:
    """Whether a lab of the caller's holds one of the addresses of ``name`` before number ``taken``."""
    for address in naming.addresses(name)[:taken]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.0)
            try:
                sock.connect(address)
            except OSError:
                continue
            if peer(sock)[1] == os.getuid():
                return True
    return False


def supervisor_pid(name: str) -> int:
    """Process id of the supervisor of the running lab ``name``. The supervisor need not answer for this.

    Raises Failure when no such lab of the caller's runs.
    """
    try:
        with connect(name) as sock:
            pid, _uid = peer(sock)
    except TimeoutError:
        raise Failure(f"lab {name} doesn't answer", "", Exit.LOST) from None
    except OSError:
        raise Failure(f"no lab named {name!r} is running", "see: sdnlab list") from None
    if pid <= 0:
        raise Failure(f"lab {name} runs in another process namespace", "run sdnlab where the lab was started")
    return pid
