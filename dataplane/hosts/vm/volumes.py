"""The volumes of a machine: disks that it gets while it runs, and that its guest mounts.

QEMU gets a connection to the socket where the lab serves the disk (NBD), and a virtio-blk device with it.
Then a program in the guest mounts it (``dataplane.hosts.guest.volume``).  A machine that starts, restarts or
moves gets its volumes again.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dataplane.hosts.driver import BlockDevice, HostError
from dataplane.hosts.guest import volume
from dataplane.hosts.vm import asking, block_device
from dataplane.hosts.vm.client import Unreachable
from dataplane.hosts.vm.qmp import Monitor, MonitorError

if TYPE_CHECKING:
    from dataplane.hosts.vm.twin import Twin

PATIENCE = 60.0
"""Seconds for the program in the guest; an emulated one is slow."""
MOUNTED = 20.0
"""Seconds for which the lab waits until a guest has mounted a volume. A slower one does it afterwards."""
SOON = 10.0
"""Seconds for a question of which the answer is not needed."""
LEAVE = 20.0
"""Seconds in which the guest must give up a disk."""
NOT_FOUND = "not found"
"""A part of what QEMU says of a device that it does not have."""


class Volumes:
    """The volumes of one machine. The caller holds the machine's lock.

    ``agent``: the path of its agent's socket. ``qemu``: the QEMU that it has now. ``answers``: whether
    programs run in its guest.
    """

    def __init__(
        self,
        name: str,
        agent: Callable[[], str],
        qemu: Callable[[], Twin | None],
        answers: Callable[[], bool],
    ) -> None:
        self._name, self._agent, self._qemu, self._answers = name, agent, qemu, answers
        self._wanted: dict[str, BlockDevice] = {}
        self._slots: dict[str, int] = {}
        self._plugged: WeakKeyDictionary[Monitor, set[str]] = WeakKeyDictionary()

    @property
    def names(self) -> list[str]:
        """The names of the volumes that it has, or gets when it starts."""
        return list(self._wanted)

    def attach(self, device: BlockDevice) -> str:
        """Give the machine a volume; if it does not run, it gets it when it does.

        Returns a text if the guest has it and does not mount it. Raises HostError if QEMU does not take it.
        """
        slot = block_device.free_slot(self._slots.values())
        if slot is None:
            raise HostError(f"{self._name} has {block_device.MOST} volumes, and can't have more")
        self._wanted[device.name], self._slots[device.name] = device, slot
        if not self._answers():
            return ""
        try:
            self._plug_in(device)
        except HostError:
            self._forget(device.name)
            raise
        try:
            self._ask("take", device, MOUNTED)
        except HostError as error:
            return str(error)
        return ""

    def detach(self, name: str, lost: bool = False) -> None:
        """Take a volume away. ``lost``: it is gone, also if the guest uses it. Raises HostError."""
        device = self._wanted.get(name)
        qemu = self._qemu()
        if device is not None and qemu is not None and name in self._of(qemu.monitor):
            if self._answers():
                self._ask("drop" if lost else "free", device)
            elif not lost:
                raise self._silent(name)
            try:
                self._unplug(qemu, name)
            except HostError:
                with contextlib.suppress(HostError):
                    self._ask("take", device, MOUNTED)  # it has the disk still
                raise
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._wanted.pop(name, None)
        self._slots.pop(name, None)

    def come(self) -> list[str]:
        """The machine has begun to answer: it gets all. Returns texts about those that it does not get."""
        problems = []
        for device in self._wanted.values():
            try:
                self._plug_in(device)
                self._ask("take", device, MOUNTED)
            except HostError as error:
                problems.append(str(error))
        return problems

    def plug_all(self, monitor: Monitor) -> None:
        """Plug them into a second QEMU, to which the machine moves. Raises HostError, MonitorError."""
        qemu = self._qemu()
        for name in sorted(self._of(qemu.monitor)) if qemu is not None else ():
            self._plug(monitor, self._wanted[name])

    def write_out(self, name: str) -> None:
        """Let the guest write out what it has for its disks. Raises HostError."""
        if self._qemu() is not None and name in self._wanted:
            if not self._answers():
                raise self._silent(name)
            self._ask("write", self._wanted[name])

    def used(self, name: str) -> int | None:
        """The bytes that the file system of a volume uses; None: it is not known, or not soon."""
        device = self._wanted.get(name)
        if device is None or not device.path or not self._answers():
            return None
        try:
            number = self._ask("used", device, SOON).get("used")
        except HostError:
            return None
        return number if isinstance(number, int) else None

    def _silent(self, name: str) -> HostError:
        return HostError(
            f"{self._name} does not answer now, and may use {name}",
            f"let it go on, or switch it off: sdnlab vm stop {self._name}",
        )

    def _of(self, monitor: Monitor) -> set[str]:
        return self._plugged.setdefault(monitor, set())

    def _plug_in(self, device: BlockDevice) -> None:
        qemu = self._qemu()
        try:
            if qemu is not None and device.name not in self._of(qemu.monitor):
                self._plug(qemu.monitor, device)
        except MonitorError as error:
            raise HostError(f"{self._name} does not get volume {device.name}: {error}") from None

    def _plug(self, monitor: Monitor, device: BlockDevice) -> None:
        slot = self._slots[device.name]
        name = block_device.name_of(slot)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            try:
                stream.connect(device.socket)
            except OSError as error:
                raise HostError(f"volume {device.name} is not served: {error.strerror}") from None
            monitor.give(stream.fileno(), "getfd", fdname=name)
        monitor.execute("blockdev-add", **block_device.node(device.name, slot))
        try:
            monitor.execute("device_add", **block_device.device(device.name, slot))
        except MonitorError:
            monitor.execute("blockdev-del", node_name=name)
            raise
        self._of(monitor).add(device.name)

    def _unplug(self, qemu: Twin, name: str) -> None:
        monitor, node = qemu.monitor, block_device.name_of(self._slots[name])
        mark = monitor.mark()
        try:
            try:
                monitor.execute("device_del", id=node)
                monitor.await_event(
                    lambda event: event.name == "DEVICE_DELETED" and event.data.get("device") == node,
                    mark,
                    LEAVE,
                    qemu.alive,
                )
            except MonitorError as error:
                if NOT_FOUND not in str(error):
                    raise
            monitor.execute("blockdev-del", node_name=node)
        except MonitorError as error:
            if qemu.alive():
                raise HostError(
                    f"{self._name} does not give up volume {name}: {error}",
                    f"switch it off: sdnlab vm stop {self._name}",
                ) from None
        self._of(monitor).discard(name)

    def _ask(self, do: str, device: BlockDevice, patience: float = PATIENCE) -> dict[str, Any]:
        """Let the program in the guest do something. Raises HostError."""
        words = ["python3", "-I", "-S", "-c", _program(), do, device.name, device.path]
        try:
            code, written = asking.answer(self._agent(), words, patience)
        except Unreachable as error:
            raise HostError(f"{self._name}: volume {device.name}: {error}") from None
        try:
            told: dict[str, Any] = json.loads(written.strip().splitlines()[-1])
        except (ValueError, IndexError):
            last = written.strip().splitlines()[-1:] or [f"exit code {code}"]
            raise HostError(f"{self._name}: volume {device.name}: {last[0]}") from None
        if "failed" in told:
            raise HostError(
                f"{self._name}: volume {device.name}: {told['failed']}",
                f"end what uses it in {self._name}" if do == "free" else "",
            )
        return told


def _program() -> str:
    return Path(volume.__file__).read_text(encoding="utf-8")
