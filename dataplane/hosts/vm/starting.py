"""How a machine comes up: it goes on from a state, or boots; and what it was started from."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from dataplane.hosts.driver import Hear, HostError
from dataplane.hosts.vm.command_line import Disk, Ends, Kernel, Memory, command_line, granted
from dataplane.hosts.vm.emulator import Emulator, Failed
from dataplane.hosts.vm.exported_settings import of_exported, unlike
from dataplane.hosts.vm.own_disk import OwnDisk
from dataplane.hosts.vm.qmp import MonitorError
from dataplane.hosts.vm.template import memory_file, state_file
from dataplane.hosts.vm.twin import Berth, StateError, Twin, read_state
from dataplane.images import disks, exported, seed
from topologies.model.hosts import VirtualMachine

if TYPE_CHECKING:
    from dataplane.hosts.vm.accelerator import Choice
    from dataplane.hosts.vm.template import Template
    from dataplane.hosts.vm.templates import Templates
    from dataplane.images.image import Image
    from dataplane.images.snapshots import SnapshotKey

BOOT_PATIENCE = 60.0
"""Seconds in which a machine's agent must answer after its start: an emulated one on a busy machine."""
DISK_PATIENCE = 300.0
"""The same for a machine that boots from a disk, with systemd and cloud-init."""
LATER = 15.0
"""Seconds that pass before a machine with a disk boots, and while it is configured."""
DISK_REBOOTS = 6
"""So often the guest of a disk may boot before its agent answers: its first start may need that."""
RESET_REBOOTS = 8
"""The same after a reset: SeaBIOS, which finds that it has run before, resets the machine once more, in each
way that it knows (ACPI, keyboard controller, port 0xcf9, triple fault)."""
RESTORE_PATIENCE = 15.0
"""The same after it was restored from a template; then the machine boots."""
STATE_PATIENCE = 20.0
"""Seconds in which QEMU must have written or read a machine's state."""
IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]
"""The memory is not part of the state that QEMU writes and reads: it is a file of its own."""


@dataclass(frozen=True)
class Means:
    """What all machines of a lab share. ``hear``: as in ``dataplane.hosts.driver``. ``image``: finds an image
    by its name. ``choose``: the accelerator for what the file wants. ``refute``: says why the chosen KVM does
    not work. ``key``: of a state; the last argument: whether the machine has a disk."""

    hear: Hear
    templates: Templates
    image: Callable[[str], Image]
    choose: Callable[[str], Choice]
    refute: Callable[[str], None]
    key: Callable[[VirtualMachine, str, bool], SnapshotKey]


def patience_for(settings: VirtualMachine) -> float:
    """Seconds in which a machine is up, on a busy machine and without a snapshot of its boot."""
    # who waits for it hears why it does not come up
    disk = disks.is_disk(settings.image) or exported.has_disk(settings.image)
    return DISK_PATIENCE + LATER if disk else BOOT_PATIENCE


class Start:
    """What a machine is started from, and how. ``settings``: what the topology says, and where that has the
    default, an exported machine.

    ``disk``: what it boots from, if that is one. ``told``: what the machine is, as cloud-init is told, but
    for the agent. ``say``: makes an event of a text about the machine.
    """

    def __init__(
        self,
        name: str,
        settings: VirtualMachine,
        means: Means,
        emulator: Emulator,
        told: Callable[[], seed.Machine],
        say: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.choice: Choice | None = None
        self.disk: OwnDisk | None = None
        self._name, self._means, self._emulator, self._told, self._say = name, means, emulator, told, say
        self._image: Image | None = None
        self._held = -1
        self._came = False

    def come_up(self) -> str:
        """Bring the machine up, and wait until its agent answers; how it came up: ``snapshot``, ``boot`` or
        ``export``.

        An image of sdnlab's that does not boot with KVM, which nobody asked for, starts again with TCG.
        Raises Failed, MonitorError, ImageError, HostError or OSError.
        """
        try:
            return self._come_up()
        except Failed as error:
            if not self._may_blame_kvm():
                raise
            self._say(f"KVM does not work for it ({error}): it starts again with TCG")
            self._emulator.end()
            self._means.refute(str(error))
        return self._come_up()

    def _may_blame_kvm(self) -> bool:
        """Whether KVM was chosen for an image that is known to boot. A disk of a user's may never boot."""
        kvm = self.choice is not None and self.choice.accelerator == "kvm"
        ours = self.disk is None and not exported.is_path(self.settings.image)
        return kvm and self.settings.accelerator == "auto" and ours and not self._emulator.given_up

    def _come_up(self) -> str:
        if self.disk is not None or disks.is_disk(self.settings.image):
            self._boot_disk()
            return "boot"
        image = self._means.image(self.settings.image)
        self._hold(image)
        self.choice = self._means.choose(self.settings.accelerator)
        if image.disk is not None:
            self.disk = OwnDisk(str(image.disk))
            self.disk.tell(self._told())
        if self._continue_exported(image):
            return "export"
        if self.disk is not None:
            self._boot_disk()
            return "boot"
        key = self.key()
        with self._means.templates.only(image, key):
            template = self._means.templates.find(image, key)
            if template is None:
                self._boot(image, key)
                return "boot"
        try:
            self._restore(template)
            return "snapshot"
        except (Failed, MonitorError) as error:
            if self._emulator.given_up:
                raise
            self._say(f"can't be restored from its snapshot ({error}): it boots, and the snapshot is removed")
            self._emulator.end()
        with self._means.templates.only(image, key):
            self._means.templates.forget(image, key)
            self._boot(image, key)
        return "boot"

    def come_again(self) -> str:
        """Wait until the agent of the machine answers, which was reset; how it came up: ``boot``. Raises
        Failed."""
        if self.disk is not None:
            self._emulator.await_agent(DISK_PATIENCE, RESET_REBOOTS)
        else:
            self._emulator.await_agent(BOOT_PATIENCE, RESET_REBOOTS)
        return "boot"

    def image(self) -> Image:
        """The image from which it was started. Raises HostError if it never was, or if it has a disk."""
        if self.disk is not None:
            raise HostError(f"{self._name} boots from a disk of yours, not from an image of sdnlab")
        if self._image is None:
            raise self._not_started()
        return self._image

    def key(self) -> SnapshotKey:
        """What a QEMU must be like to read its state. Raises HostError if it was never started."""
        if self.choice is None:
            raise self._not_started()
        return self._means.key(self.settings, self.choice.accelerator, self.disk is not None)

    def launch(
        self,
        memory: Memory | None,
        berth: Berth,
        restored: bool = False,
        changes: IO[bytes] | None = None,
    ) -> Twin:
        """Start a QEMU for the machine, beside that which it may have; the caller connects its monitor.

        ``memory``, ``restored``: as for ``command_line``. ``changes``: what it has written to its disk, if
        that is not what the present machine has. Raises HostError, OSError.
        """
        choice = self.choice
        if choice is None:
            raise self._not_started()
        kvm = choice.accelerator == "kvm"
        with self._opened(changes) as boot:

            def words(ends: Ends) -> list[str]:
                mac = self._told().mac
                return command_line(
                    self._name, mac, self.settings, choice.accelerator, boot, memory, ends, restored
                )

            passed = [*boot.descriptors(), *([memory.file] if memory is not None else [])]
            return self._emulator.launch(words, passed, berth, kvm)

    def forget(self) -> None:
        """The machine leaves the lab: others may remove its image, and what it wrote is gone."""
        self._hold(None)
        if self.disk is not None:
            self.disk.close()
            self.disk = None

    @contextlib.contextmanager
    def _opened(self, changes: IO[bytes] | None) -> Iterator[Kernel | Disk]:
        """What it boots. Raises HostError, OSError."""
        if self.disk is not None:
            yield self.disk.boot(changes)
            return
        image = self.image()
        with image.kernel.open("rb") as kernel, image.initrd.open("rb") as initrd:
            yield Kernel(kernel.fileno(), initrd.fileno(), image.arguments)

    def _not_started(self) -> HostError:
        return HostError(f"{self._name} has not been started", f"sdnlab vm start {self._name}")

    def _boot_disk(self) -> None:
        """Boot from a disk. What the machine writes to it stays until it leaves the lab."""
        self.choice = self._means.choose(self.settings.accelerator)
        if self.disk is None:
            self.disk = OwnDisk(self.settings.image)
        self.disk.tell(self._told())
        self._emulator.become(self.launch(None, self._emulator.berth()))
        try:
            self._emulator.await_agent(DISK_PATIENCE, DISK_REBOOTS)
        except Failed as error:
            if self._emulator.process is None:
                raise
            raise Failed(
                f"{error}; an event tells when it does. cloud-init starts the agent, which needs Python: "
                "without them in the image, commands and addresses do not reach the machine"
            ) from None

    def _hold(self, image: Image | None) -> None:
        """Keep the files of the image from which the machine was started: another QEMU may need them."""
        held = image.hold() if image is not None else -1
        if self._held >= 0:
            os.close(self._held)
        self._image, self._held = image, held

    def _continue_exported(self, image: Image) -> bool:
        """Take the settings of an exported machine where the topology has the default; at the first start go
        on from its state, too, if it has one that fits. Whether it goes on."""
        known = exported.exported(image)
        if known is None:
            return False
        self.settings = of_exported(self.settings, known.key)
        first, self._came = not self._came, True
        if known.state is None or not first:
            return False
        if differences := unlike(known.key, self.key()):
            self._say(f"boots, and does not go on where it was exported: {differences}")
            return False
        try:
            with known.state.open("rb") as state:
                twin = self.launch(None, self._emulator.berth(), restored=True)
                self._emulator.become(twin)
                read_state(twin.monitor, state.fileno(), STATE_PATIENCE * 3)
            twin.monitor.execute("cont")
            # to boot from a disk takes longer than any patience here
            self._emulator.await_agent(RESTORE_PATIENCE if self.disk is None else BOOT_PATIENCE)
        except (Failed, StateError, MonitorError, OSError) as error:
            if self._emulator.given_up:
                raise
            self._say(f"can't go on where it was exported ({error}): it boots")
            self._emulator.end()
            return False
        return True

    def _boot(self, image: Image, key: SnapshotKey) -> None:
        memory = memory_file(granted(self.settings.memory, key.accelerator))
        try:
            self._begin(Memory(memory, shared=True))
            self._emulator.await_agent(BOOT_PATIENCE)
            self._keep(image, key, memory)
        finally:
            os.close(memory)

    def _keep(self, image: Image, key: SnapshotKey, memory: int) -> None:
        """Make a template of the machine, which has booted and is nobody yet. Without one it goes on, too."""
        monitor = self._emulator.asked()
        state = os.memfd_create("state", os.MFD_CLOEXEC)
        try:
            monitor.execute("stop")
            monitor.execute("migrate-set-capabilities", capabilities=IGNORE_SHARED)
            monitor.give(state, "getfd", fdname="state")
            monitor.execute("migrate", uri="fd:state")
            self._await_migration()
            self._means.templates.keep(image, key, memory, state)
            none = [{**IGNORE_SHARED[0], "state": False}]
            monitor.execute("migrate-set-capabilities", capabilities=none)
        except (OSError, Failed, MonitorError) as error:
            print(f"{self._name}: no snapshot of its boot: {error}", flush=True)  # into the log
        finally:
            os.close(state)
            monitor.execute("cont")

    def _restore(self, template: Template) -> None:
        state = state_file(template.state)
        try:
            self._begin(Memory(template.memory, shared=False), restored=True)
            monitor = self._emulator.asked()
            monitor.execute("migrate-set-capabilities", capabilities=IGNORE_SHARED)
            monitor.give(state, "getfd", fdname="state")
            monitor.execute("migrate-incoming", uri="fd:state")
            self._await_migration()
            none = [{**IGNORE_SHARED[0], "state": False}]
            monitor.execute("migrate-set-capabilities", capabilities=none)
            monitor.execute("cont")
        finally:
            os.close(state)
        self._emulator.await_agent(RESTORE_PATIENCE)

    def _begin(self, memory: Memory, restored: bool = False) -> None:
        """Start the machine's only QEMU, and greet its monitor."""
        self._emulator.become(self.launch(memory, self._emulator.berth(), restored))

    def _await_migration(self) -> None:
        deadline = time.monotonic() + STATE_PATIENCE
        while True:
            status = self._emulator.asked().execute("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise Failed(f"QEMU did not read or write its state: {status}")
            time.sleep(0.005)  # QEMU tells the end by an event only after the answer to this
