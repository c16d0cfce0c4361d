"""Control groups (cgroups(7)) that limit what a host uses: processors, memory, processes.

A controller is in the hierarchy of version 2 or in one of version 1, whatever this machine has; a machine may
have both.  A lab has one group in each hierarchy that it needs, below its own group or, where that can't have
groups with limits (version 2: "no internal processes"), beside it or below the root.  Each host has a group
in there.  The lab holds a lock (flock(2)) on its groups.  They don't end with it: who ends the lab removes
them: the sandbox's init, also when the supervisor was killed; and the next lab, or ``sdnlab list``, where the
init was killed, too.  Kernel's admin-guide/cgroup-v2.rst and
admin-guide/cgroup-v1.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = ("cpu", "memory", "pids")
PERIOD = 100_000
"""Microseconds in which a group's share of processors counts (the kernel's default)."""
PREFIX = "sdnlab-"
PROCS = "cgroup.procs"
REMOVAL_PATIENCE = 5.0
"""Timeout in seconds until a group whose processes were killed can be removed."""
STEP = 0.02


class NoGroups(Exception):
    """Limits can't be enforced here; the message says why."""


@dataclass(frozen=True)
class Limits:
    """None: no limit. ``cpus``: processors; ``memory``: bytes; ``pids``: processes and threads."""

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None

    def controllers(self) -> frozenset[str]:
        """The controllers that enforce them."""
        values = zip(CONTROLLERS, (self.cpus, self.memory, self.pids), strict=True)
        return frozenset(name for name, value in values if value is not None)


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy. ``root``: its mount point; ``own``: the folder of the caller's group;
    ``controllers``: of version 1; empty: it is version 2."""

    root: Path
    own: Path
    controllers: frozenset[str] = frozenset()

    @property
    def unified(self) -> bool:
        """Whether it is version 2."""
        return not self.controllers

    def candidates(self) -> list[Path]:
        """The folders in which a lab's group may be made, the best first."""
        above = [self.own.parent] if self.own != self.root else []
        return list(dict.fromkeys([self.own, *above, self.root])) if self.unified else [self.own]


def hierarchies(mountinfo: str, own: str) -> list[Hierarchy]:
    """The hierarchies, by the text of /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7))."""
    groups = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        groups[frozenset(filter(None, names.split(",")))] = path
    mounts: dict[frozenset[str], Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[0] not in ("cgroup", "cgroup2"):
            continue
        shown, mounted = fields[3], Path(fields[4])
        wanted = frozenset(kind[2].split(",")) if kind[0] == "cgroup" else frozenset()
        for controllers, path in groups.items():
            # A mount shows the hierarchy from ``shown`` on. Options have more words than controllers.
            if bool(controllers) == bool(wanted) and controllers <= wanted:
                relative = os.path.relpath(path, shown) if shown != "/" else path.lstrip("/")
                if not relative.startswith(".."):
                    mounts.setdefault(controllers, Hierarchy(mounted, mounted / relative, controllers))
    return list(mounts.values())


def settings(unified: bool, limits: Limits) -> dict[str, list[tuple[str, str]]]:
    """Controller -> the files of a group to write, and their values; a file ``?NAME`` may be missing."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    if limits.cpus is not None:
        quota = max(1000, round(limits.cpus * PERIOD))
        wanted["cpu"] = (
            [("cpu.max", f"{quota} {PERIOD}")]
            if unified
            else [("cpu.cfs_period_us", f"{PERIOD}"), ("cpu.cfs_quota_us", f"{quota}")]
        )
    if limits.memory is not None:
        wanted["memory"] = (
            [("memory.max", f"{limits.memory}"), ("?memory.swap.max", "0")]
            if unified
            else [
                ("memory.limit_in_bytes", f"{limits.memory}"),
                ("?memory.memsw.limit_in_bytes", f"{limits.memory}"),
            ]
        )
    if limits.pids is not None:
        wanted["pids"] = [("pids.max", f"{limits.pids}")]
    return wanted


COUNTERS = {
    "cpu": (("cpu.stat", "nr_throttled"), ("cpu.stat", "nr_periods")),
    "memory": (("memory.events", "oom_kill"), ("memory.oom_control", "oom_kill")),
    "pids": (("pids.events", "max"),),
}
"""Controller -> (file, key) of what a group counts; of memory, version 2's and version 1's."""
USED = {"memory": ("memory.current", "memory.usage_in_bytes"), "pids": ("pids.current",)}
"""Controller -> the files with what a group uses at present."""


@dataclass(frozen=True)
class Group:
    """The groups of one host. ``folders``: controller -> the folder of the group that has it."""

    folders: Mapping[str, Path]

    def joined(self) -> list[str]:
        """The files to which a process writes 0 to join."""
        return [str(folder / PROCS) for folder in dict.fromkeys(self.folders.values())]

    def counters(self) -> dict[str, int]:
        """``controller.key`` -> count since the group was made: throttled periods, killed processes, refused
        forks."""
        counted = {}
        for controller, sources in COUNTERS.items():
            for file, key in sources:
                value = _value(self.folders.get(controller), file, key)
                if value is not None:
                    counted[f"{controller}.{key}"] = value
        return counted

    def used(self) -> dict[str, int]:
        """``memory`` in bytes and ``pids`` of the group at present, if it limits them."""
        values = {
            controller: next(
                filter(None, (_value(self.folders.get(controller), file) for file in files)), None
            )
            for controller, files in USED.items()
        }
        return {controller: value for controller, value in values.items() if value is not None}

    def kill(self, patience: float = REMOVAL_PATIENCE) -> None:
        """Kill its processes, until there are none; after ``patience`` seconds, some may be left."""
        deadline = time.monotonic() + patience
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(STEP)  # it takes a moment until they are gone, and they may have forked

    def processes(self) -> set[int]:
        """The process ids of what is in it."""
        words = {word for folder in set(self.folders.values()) for word in _words(folder / PROCS)}
        return {int(word) for word in words} - {0}  # one outside of this PID namespace

    def remove(self, patience: float = REMOVAL_PATIENCE) -> None:
        """Remove the groups; their processes have been killed. Raises OSError when some still run."""
        for folder in dict.fromkeys(self.folders.values()):
            _remove(folder, patience)


class LabGroups:
    """The groups of a lab. ``name``: differs from those of other running labs on the machine."""

    def __init__(self, name: str, known: Sequence[Hierarchy]) -> None:
        self._name, self._known = f"{PREFIX}{name}", known
        self._made: dict[Hierarchy, Path] = {}
        self._locks: list[int] = []

    def make(self, host: str, limits: Limits) -> Group:
        """A group with these limits. Raises NoGroups."""
        folders: dict[str, Path] = {}
        try:
            for controller in sorted(limits.controllers()):
                hierarchy = self._of(controller)
                folder = self._base(hierarchy, limits.controllers()) / host
                folder.mkdir(exist_ok=True)
                folders[controller] = folder
                for file, value in settings(hierarchy.unified, limits)[controller]:
                    target = folder / file.lstrip("?")
                    if not file.startswith("?") or target.exists():
                        target.write_text(value)
        except OSError as error:
            with contextlib.suppress(OSError):
                Group(folders).remove(0)
            raise NoGroups(f"{error.filename or 'control groups'}: {error.strerror}") from None
        return Group(folders)

    def close(self) -> None:
        """Remove the lab's groups, and give up the locks. Groups of hosts are gone."""
        for folder in self._made.values():
            with contextlib.suppress(OSError):
                _remove(folder, 0)
        for lock in self._locks:
            os.close(lock)
        self._made, self._locks = {}, []

    def _of(self, controller: str) -> Hierarchy:
        for hierarchy in self._known:
            if controller in hierarchy.controllers:
                return hierarchy
        for hierarchy in self._known:
            if hierarchy.unified and controller in _words(hierarchy.root / "cgroup.controllers"):
                return hierarchy
            # Below the root of a mount that is a part of the hierarchy, as in a container:
            if hierarchy.unified and controller in _words(hierarchy.own / "cgroup.controllers"):
                return hierarchy
        raise NoGroups(f"this kernel, or its set-up, has no control group for {controller}")

    def _base(self, hierarchy: Hierarchy, controllers: Iterable[str]) -> Path:
        """The lab's group in this hierarchy, in which hosts' groups can have the controllers. Raises OSError
        and NoGroups."""
        known = self._made.get(hierarchy)
        if known is not None and not hierarchy.unified:
            return known
        wanted = [name for name in controllers if self._of(name) == hierarchy]
        if known is not None:
            _enable(known.parent, wanted)
            _enable(known, wanted)
            return known
        refused: OSError | None = None
        for parent in hierarchy.candidates():
            remove_left(parent)
            base = parent / self._name
            try:
                lock = _locked(base)
            except OSError as error:
                refused = refused or error
                continue
            try:
                if hierarchy.unified:
                    _enable(parent, wanted)
                    _enable(base, wanted)
            except OSError as error:
                refused = refused or error
                with contextlib.suppress(OSError):
                    base.rmdir()
                os.close(lock)
                continue
            self._locks.append(lock)
            self._made[hierarchy] = base
            return base
        raise refused or NoGroups("no control group can be made")


def _locked(base: Path) -> int:
    """Make the folder of a lab, and lock it; the descriptor. Raises OSError."""
    while True:
        base.mkdir(exist_ok=True)
        try:
            lock = os.open(base, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # before it was locked, another lab took it for a killed one's
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        if base.exists() and base.stat().st_ino == os.fstat(lock).st_ino:
            return lock
        os.close(lock)


def remove_all_left(patience: float = 0.0) -> None:
    """Remove the groups that killed labs have left wherever a lab of the caller may have some. ``patience``:
    timeout in seconds until their processes have ended."""
    with contextlib.suppress(OSError, ValueError):
        for parent in {parent for hierarchy in of_process() for parent in hierarchy.candidates()}:
            remove_left(parent, patience)


def remove_left(parent: Path, patience: float = 0.0) -> None:
    """Remove the groups below ``parent`` that labs have left which were killed."""
    try:
        left = [folder for folder in parent.iterdir() if folder.name.startswith(PREFIX) and folder.is_dir()]
    except OSError:
        return
    for base in left:
        with contextlib.suppress(OSError):
            lock = os.open(base, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for folder in base.iterdir():
                    if folder.is_dir():
                        _remove(folder, patience)
                base.rmdir()
            finally:
                os.close(lock)


def of_process(pid: int | str = "self") -> list[Hierarchy]:
    """The hierarchies that the caller sees, with the groups of the process ``pid``. Raises OSError."""
    own = Path(f"/proc/{pid}/cgroup").read_text()
    return hierarchies(Path("/proc/self/mountinfo").read_text(), own)


@contextlib.contextmanager
def removed_after(pid: int) -> Iterator[None]:
    """Remove the groups of the lab of the process ``pid``, which ends in the context."""
    parents = []
    with contextlib.suppress(OSError, ValueError):
        parents = [parent for hierarchy in of_process(pid) for parent in hierarchy.candidates()]
    try:
        yield
    finally:
        for parent in parents:
            remove_left(parent)


def _enable(folder: Path, controllers: Iterable[str]) -> None:
    """Let the groups in ``folder`` have the controllers (version 2). Raises OSError."""
    if lacking := sorted(set(controllers) - set(_words(folder / "cgroup.controllers"))):
        # The group above it does not hand them down.
        raise OSError(errno.ENODEV, f"there is no {', '.join(lacking)} in this control group", str(folder))
    missing = sorted(set(controllers) - set(_words(folder / "cgroup.subtree_control")))
    if missing:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in missing))


def _remove(folder: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
            time.sleep(STEP)  # killed processes leave it one by one
        else:
            return


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _value(folder: Path | None, file: str, key: str = "") -> int | None:
    """A number in a group's file: that of the line ``KEY NUMBER``, or the only one."""
    if folder is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / file).read_text().splitlines():
            name, _, number = line.rpartition(" ")
            if name == key:
                return int(number)
    return None
