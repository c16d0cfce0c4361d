"""What hosts may use of this machine: each limited host has a control group of its own in the lab's.

The groups say, as events, when a host meets a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataplane.facts import LIMITS
from dataplane.hosts.cgroups import Group, LabGroups, Limits, NoGroups, of_process
from dataplane.hosts.driver import HostError, Lack
from dataplane.hosts.overload import Watcher

if TYPE_CHECKING:
    from topologies.model.hosts import Resources


def limits_of(resources: Resources) -> Limits:
    """The limits that the file asks for."""
    return Limits(resources.cpus, resources.memory, resources.pids)


def lab_name() -> str:
    """What tells this lab from others of the machine: its PID namespace."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def why_no_limits(limits: Limits) -> str:
    """Why this machine can't enforce them, tried; empty: it can."""
    groups = LabGroups(f"{lab_name()}-probe", of_process())
    try:
        groups.make("probe", limits).remove()
    except NoGroups as error:
        return str(error)
    finally:
        groups.close()
    return ""


def lacks(hosts: Iterable[tuple[str, Resources]]) -> list[Lack]:
    """What this machine lacks for the first host that requires what can't be enforced. Hosts by name."""
    for name, resources in hosts:
        limits = limits_of(resources)
        required = resources.limits == "required" and limits.controllers()
        if required and (why := why_no_limits(limits)):
            return [Lack(f"limits can't be enforced ({why})", f"host {name}, which requires them", LIMITS)]
    return []


class GroupsOfLab:
    """The control groups of the lab in whose supervisor this is. They begin with the first host that has
    one, and end with the last."""

    def __init__(self) -> None:
        self._groups: LabGroups | None = None
        self._count = 0
        self._lock = threading.Lock()

    def make(self, netns: str, limits: Limits) -> Group:
        """The group of the host with this namespace. Raises NoGroups."""
        with self._lock:
            groups = self._groups or LabGroups(lab_name(), of_process())
            try:
                group = groups.make(f"host-{netns}", limits)
            except NoGroups:
                if not self._count:
                    groups.close()
                raise
            self._groups = groups
            self._count += 1
            return group

    def remove(self, group: Group) -> None:
        """Remove a group, whose processes have been killed. Raises OSError when some still run."""
        try:
            group.remove()
        finally:
            with self._lock:
                self._count -= 1
                if not self._count and self._groups is not None:
                    self._groups.close()
                    self._groups = None


OF_LAB = GroupsOfLab()
"""Drivers of several kinds share it."""


@dataclass
class Limited:
    """A host with its limits. ``group`` None: it has none. ``unlimited``: why they can't be enforced."""

    host: str
    group: Group | None = None
    unlimited: str = ""

    def joined(self) -> list[str]:
        """The files to which a process of the host writes 0, before it does anything else."""
        return self.group.joined() if self.group is not None else []

    def state(self) -> dict[str, str | int | float | bool]:
        """What ``status`` tells."""
        if self.unlimited:
            return {"limits": f"not enforced: {self.unlimited}"}
        used = self.group.used() if self.group is not None else {}
        return {f"{name}-used": value for name, value in used.items()}


class HostLimits:
    """The limits of the hosts of one driver. ``tell`` gets a host and what it met, or lacks."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._watcher = Watcher(tell)

    def begin(self, host: str, netns: str, resources: Resources, pids: int | None = None) -> Limited:
        """Make the host's group. ``pids``: its limit where the file has none. Raises HostError when the file
        requires what can't be enforced."""
        asked = limits_of(resources)
        limits = replace(asked, pids=pids if asked.pids is None else asked.pids)
        if not limits.controllers():
            return Limited(host)
        try:
            group = OF_LAB.make(netns, limits)
        except NoGroups as error:
            if not asked.controllers():
                return Limited(host)
            if resources.limits == "required":
                raise HostError(f"the limits of {host} can't be enforced: {error}", LIMITS) from None
            self._tell(host, f"the limits of {host} are not enforced: {error}; {LIMITS}")
            return Limited(host, unlimited=str(error))
        self._watcher.watch(host, group, limits)
        return Limited(host, group)

    def end(self, limited: Limited) -> None:
        """Remove the host's group; what still runs in it is killed."""
        if limited.group is None:
            return
        self._watcher.forget(limited.host, limited.group)
        try:
            limited.group.kill()
            OF_LAB.remove(limited.group)
        except OSError as error:
            print(f"control group of {limited.host}: {error}", flush=True)  # into the log
