"""The saved states of a machine: memory and devices of one moment, to which it can return.

A state is a file without a name on a disk (O_TMPFILE in open(2)), so it ends with the lab, also when the lab
is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm import twin
from dataplane.hosts.vm.own_disk import FOLDER, copied, nameless
from dataplane.hosts.vm.qmp import MonitorError
from dataplane.hosts.vm.saved_state import Saved
from dataplane.hosts.vm.twin import StateError, Twin

if TYPE_CHECKING:
    from dataplane.hosts.vm.machine import Machine

PATIENCE = 120.0
"""Seconds in which QEMU must have written or read a state: the disk of a busy machine is slow."""
BESIDE = 64 << 20
"""Bytes that a state may have beside the machine's memory."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MOST = 32
"""Saved states of one machine."""


class SavedStates:
    """The saved states of one machine, the oldest first."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._states: dict[str, Saved] = {}

    def listed(self) -> list[Saved]:
        """All of them."""
        return list(self._states.values())

    def save(self, name: str) -> Saved:
        """Save the present state under a new name. Raises HostError."""
        host = self._machine.host.name
        if not NAME.fullmatch(name):
            raise HostError(f"{name!r} is no name for a snapshot", "letters, digits, '_', '-' and '.'")
        if name in self._states:
            raise HostError(
                f"{host} has a snapshot {name} already",
                f"take another name, or remove that one: sdnlab snapshot delete {host} {name}",
            )
        if len(self._states) >= MOST:
            raise HostError(f"{host} has {MOST} snapshots, and may not have more", "remove some of them")
        saved = taken(self._machine, name)
        self._states[name] = saved
        return saved

    def restore(self, name: str) -> Saved:
        """Let the machine be what it was. Raises HostError."""
        saved = self._find(name)
        returned(self._machine, saved)
        return saved

    def delete(self, name: str) -> Saved:
        """Forget a state, and free its room. Raises HostError."""
        saved = self._find(name)
        del self._states[name]
        saved.close()
        return saved

    def close(self) -> None:
        """Forget all."""
        for saved in self._states.values():
            saved.close()
        self._states.clear()

    def _find(self, name: str) -> Saved:
        if name not in self._states:
            host, some = self._machine.host.name, ", ".join(self._states)
            there = f"there are: {some}" if some else f"save one: sdnlab snapshot save {host} {name}"
            raise HostError(f"{host} has no snapshot {name!r}", there)
        return self._states[name]


def taken(machine: Machine, name: str = "") -> Saved:
    """The state of a running or paused machine, which goes on afterwards. Raises HostError."""
    must_be_up(machine)
    with machine.acting:
        qemu = running(machine)
        has_no_volumes(machine)
        if machine.state == "paused" and machine.standing is not None:
            # QEMU does not write a state twice, nor give its disks up twice, before the machine goes on
            return machine.standing.again(name)
        file = state_file(machine.settings.memory)
        began = time.monotonic()
        try:
            with standing_still(machine, qemu):
                twin.write_state(qemu.monitor, file.fileno(), PATIENCE)
                moment = time.time()
                # QEMU has written out all that it kept of the disk, and given it up until it goes on
                changes = copied(machine.disk.changes) if machine.disk is not None else None
        except (MonitorError, StateError) as error:
            file.close()
            raise HostError(
                f"the state of {machine.host.name} was not saved: {error}", f"is {FOLDER} full?"
            ) from None
        except BaseException:
            file.close()
            raise
        size = size_of(file) + (occupied(changes) if changes is not None else 0)
        saved = Saved(name, moment, size, time.monotonic() - began, file, changes)
        if machine.state == "paused":
            machine.standing = saved.again("")
        return saved


def must_be_up(machine: Machine) -> None:
    """Raise HostError for a machine that is coming up: who starts it holds it, for minutes if it boots from a
    disk."""
    if machine.state == "starting":
        name = machine.host.name
        raise HostError(
            f"{name} is coming up", f"wait until it is there: sdnlab status; sdnlab console {name}"
        )


def running(machine: Machine) -> Twin:
    """The machine's QEMU. Raises HostError if it is off, or can't go on."""
    qemu = machine.qemu()
    name = machine.host.name
    if qemu is None or machine.state == "off":
        raise HostError(f"{name} is off", f"start it: sdnlab vm start {name}")
    if machine.state == "panicked":
        raise HostError(f"the kernel of {name} has panicked, and can't go on", f"sdnlab vm reset {name}")
    return qemu


def has_no_volumes(machine: Machine) -> None:
    """Raise HostError for a machine with volumes: what is on them would not be that of the state."""
    if names := machine.volumes.names:
        host = machine.host.name
        raise HostError(
            f"{host} uses volumes ({', '.join(names)}), and what is on them is no part of its state: a state "
            "of earlier would damage the files of today",
            f"save what is on them: sdnlab volume snapshot save {names[0]} NAME",
        )


@contextlib.contextmanager
def standing_still(machine: Machine, qemu: Twin) -> Iterator[None]:
    """The machine stands still meanwhile; then it does what it did before. Raises MonitorError."""
    goes = machine.state != "paused"
    if goes:
        qemu.monitor.execute("stop")
    try:
        yield
    finally:
        if goes and qemu.alive():
            qemu.monitor.execute("cont")


def state_file(memory: int) -> IO[bytes]:
    """An empty file without a name, for the state of a machine with so many bytes of memory. Raises
    HostError."""
    try:
        free = shutil.disk_usage(FOLDER).free
        if free < memory + BESIDE:
            raise HostError(
                f"{free >> 20} MiB are free in {FOLDER}, and the state of the machine may need "
                f"{(memory + BESIDE) >> 20} MiB",
                "free space there, or remove snapshots: sdnlab snapshot delete VM NAME",
            )
    except OSError as error:
        raise HostError(f"{FOLDER}: {error.strerror}") from None
    return nameless()


def size_of(file: IO[bytes]) -> int:
    """Bytes of a file."""
    return os.fstat(file.fileno()).st_size


def occupied(file: IO[bytes]) -> int:
    """Bytes that a file takes on the disk: its holes take none."""
    return os.fstat(file.fileno()).st_blocks * 512


def returned(machine: Machine, saved: Saved) -> None:
    """Let the machine go on from a state. Raises HostError; before the state is read, it stays as it is."""
    must_be_up(machine)
    with machine.acting:
        has_no_volumes(machine)
        file = os.open(f"/proc/self/fd/{saved.file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _replace(machine, file, saved.changes)
        except (MonitorError, StateError, OSError) as error:
            raise HostError(
                f"{machine.host.name} can't return to {saved.name}: {error}; it is as before",
                f"see: sdnlab events; sdnlab console {machine.host.name}",
            ) from None
        finally:
            os.close(file)
        machine.come_back()


def _replace(machine: Machine, file: int, saved: IO[bytes] | None) -> None:
    """Start a QEMU with the state beside the present one, and only then end that one. ``saved``: what the
    machine had written to its disk: it goes on with a copy."""
    qemu = machine.qemu()
    changes = copied(saved.fileno()) if saved is not None else None
    stood_still = machine.state in ("paused", "panicked")
    if qemu is not None and not stood_still:
        qemu.monitor.execute("stop")
    fresh: Twin | None = None
    try:
        fresh = machine.launch(machine.berth(), changes)
        fresh.monitor.connect()
        twin.read_state(fresh.monitor, file, PATIENCE)
    except BaseException:
        if fresh is not None:
            fresh.end()
        if changes is not None:
            changes.close()
        if qemu is not None and not stood_still and qemu.alive():
            twin.quietly(lambda: qemu.monitor.execute("cont"))
        raise
    machine.begin_anew()
    machine.adopt(fresh)
    if machine.disk is not None and changes is not None:
        machine.disk.take(changes)
    fresh.monitor.execute("cont")
