"""How a machine comes up: it goes on from a state, or boots; and what it was started from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataplane.hosts.driver import Hear, HostError
from dataplane.hosts.vm.command_line import Ends, Kernel, Memory, command_line
from dataplane.hosts.vm.emulator import Emulator, Failed
from dataplane.hosts.vm.exported_settings import of_exported, unlike
from dataplane.hosts.vm.qmp import MonitorError
from dataplane.hosts.vm.template import memory_file, state_file
from dataplane.hosts.vm.twin import Berth, StateError, Twin, read_state
from dataplane.images import exported
from topologies.model.hosts import VirtualMachine

if TYPE_CHECKING:
    from dataplane.hosts.vm.accelerator import Choice
    from dataplane.hosts.vm.template import Template
    from dataplane.hosts.vm.templates import Templates
    from dataplane.images.image import Image
    from dataplane.images.snapshots import SnapshotKey

BOOT_PATIENCE = 60.0
"""Seconds in which a machine's agent must answer after its start: an emulated one on a busy machine."""
RESTORE_PATIENCE = 15.0
"""The same after it was restored from a template; then the machine boots."""
STATE_PATIENCE = 20.0
"""Seconds in which QEMU must have written or read a machine's state."""
IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]
"""The memory is not part of the state that QEMU writes and reads: it is a file of its own."""


@dataclass(frozen=True)
class Means:
    """What all machines of a lab share. ``hear``: as in ``dataplane.hosts.driver``. ``image``: finds an image
    by its name. ``choose``: the accelerator for what the file wants. ``key``: of a template."""

    hear: Hear
    templates: Templates
    image: Callable[[str], Image]
    choose: Callable[[str], Choice]
    key: Callable[[VirtualMachine, str], SnapshotKey]


class Start:
    """What a machine is started from, and how. ``settings``: what the topology says, and where that has the
    default, an exported machine.

    ``mac``: tells the address of its network device. ``say``: makes an event of a text about the machine.
    """

    def __init__(
        self,
        name: str,
        settings: VirtualMachine,
        means: Means,
        emulator: Emulator,
        mac: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.choice: Choice | None = None
        self._name, self._means, self._emulator, self._mac, self._say = name, means, emulator, mac, say
        self._image: Image | None = None
        self._held = -1
        self._came = False

    def come_up(self) -> str:
        """Bring the machine up, and wait until its agent answers; how it came up: ``snapshot``, ``boot`` or
        ``export``.

        Raises Failed, MonitorError, ImageError, HostError or OSError.
        """
        image = self._means.image(self.settings.image)
        self._hold(image)
        self.choice = self._means.choose(self.settings.accelerator)
        if self._continue_exported(image):
            return "export"
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

    def image(self) -> Image:
        """The image from which it was started. Raises HostError if it never was."""
        if self._image is None:
            raise HostError(f"{self._name} has not been started", f"sdnlab vm start {self._name}")
        return self._image

    def key(self) -> SnapshotKey:
        """What a QEMU must be like to read its state. Raises HostError if it was never started."""
        self.image()
        assert self.choice is not None
        return self._means.key(self.settings, self.choice.accelerator)

    def launch(self, memory: Memory | None, berth: Berth, restored: bool = False) -> Twin:
        """Start a QEMU for the machine, beside that which it may have; the caller connects its monitor.

        ``memory``, ``restored``: as for ``command_line``. Raises HostError, OSError.
        """
        image, choice = self.image(), self.choice
        assert choice is not None
        files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (image.kernel, image.initrd)]
        boot = Kernel(files[0], files[1], image.arguments)

        def words(ends: Ends) -> list[str]:
            return command_line(
                self._name,
                self._mac(),
                self.settings,
                choice.accelerator,
                boot,
                memory,
                ends,
                restored,
            )

        passed = [*files, *([memory.file] if memory is not None else [])]
        try:
            return self._emulator.launch(words, passed, berth, choice.accelerator == "kvm")
        finally:
            for fd in files:
                os.close(fd)

    def forget(self) -> None:
        """The machine leaves the lab: others may remove its image."""
        self._hold(None)

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
            self._emulator.await_agent(RESTORE_PATIENCE)
        except (Failed, StateError, MonitorError, OSError) as error:
            if self._emulator.given_up:
                raise
            self._say(f"can't go on where it was exported ({error}): it boots")
            self._emulator.end()
            return False
        return True

    def _boot(self, image: Image, key: SnapshotKey) -> None:
        memory = memory_file(self.settings.memory)
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
