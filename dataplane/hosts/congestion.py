"""TCP's congestion control of hosts: a setting of their network namespaces (tcp(7)), not the machine's."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

from dataplane.sandbox.namespaces import Namespace, run_in, write_settings

SETTING = "ipv4/tcp_congestion_control"
PREFERRED = "cubic"
"""That of Linux itself (RFC 9438)."""
ALWAYS = "reno"
"""Every kernel has it, and lets every namespace use it (RFC 5681)."""
_ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


@cache
def allowed() -> frozenset[str]:
    """Those that this machine lets its namespaces use."""
    names = {ALWAYS}
    with contextlib.suppress(OSError):
        names |= set(_ALLOWED.read_text().split())
    return frozenset(names)


def usual() -> str:
    """That of hosts for which the file has none."""
    return PREFERRED if PREFERRED in allowed() else ALWAYS


def use(space: Namespace, name: str) -> None:
    """Let new connections of a namespace use it; empty: the usual one."""
    run_in(space.fd, lambda: write_settings({SETTING: name or usual()}))
