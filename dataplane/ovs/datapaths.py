"""Open vSwitch's datapaths: what differs between them for a lab, and which one a lab gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dataplane import facts
from dataplane.ovs import kernel_datapath

HANDLERS_KNOWN = 10.0
"""Seconds after boot from which Open vSwitch counts the processors: it keeps its last count for so long, and
begins with 0 at the machine's start (lib/ovs-thread.c, count_total_cores, mended in 3.2). With 0 processors
it starts no thread that answers the kernel's datapath, and each packet without a cached flow is lost."""


class Datapath(NamedTuple):
    """``name``: the users' word. ``type``: Open vSwitch's (ovs-vswitchd.conf.db(5), Bridge).

    ``takes_frames``: it takes each frame from a port's device, after the hook where a drop would keep it from
    the IP stack, which gets none; else it gets a copy. ``slow_start``: seconds after boot before which it
    must not be started.
    """

    name: str
    type: str
    takes_frames: bool
    slow_start: float


USERSPACE = Datapath("userspace", "netdev", takes_frames=False, slow_start=0.0)
KERNEL = Datapath("kernel", "system", takes_frames=True, slow_start=HANDLERS_KNOWN)
AUTO = "auto"
"""The kernel's datapath where one can be made, else the userspace datapath."""
WORDS = {KERNEL.name: KERNEL, USERSPACE.name: USERSPACE}


class NoDatapath(Exception):
    """A datapath that is not to be had: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def chosen(wanted: str, lack: Callable[[], str] = kernel_datapath.lack) -> Datapath:
    """The datapath that a user's word asks for: ``kernel``, ``userspace`` or ``auto``.

    ``lack`` makes a kernel datapath in the present network namespace, and removes it; its answer says what
    went wrong, and is empty if nothing did. Raises NoDatapath.
    """
    if wanted == USERSPACE.name:
        return USERSPACE
    if wanted not in (KERNEL.name, AUTO):
        raise NoDatapath(f"there is no datapath {wanted!r}", f"allowed: {AUTO}, {', '.join(WORDS)}")
    lacking = lack()
    if not lacking:
        return KERNEL
    if wanted == AUTO:
        return USERSPACE
    raise NoDatapath(
        f"Open vSwitch's kernel datapath is not there: {lacking}",
        f"{facts.remedy('module openvswitch')}; or leave --datapath out: "
        "the userspace datapath needs no kernel module",
    )


def too_early(datapath: Datapath, uptime: float) -> float:
    """Seconds until this datapath may be started. ``uptime``: of the machine, in seconds."""
    return max(0.0, datapath.slow_start - uptime)
