"""One virtual machine: watched, controlled, ended, and the host that the plan says."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dataplane.hosts.driver import HostError
from dataplane.hosts.vm import client, network, steps
from dataplane.hosts.vm.client import agent_socket
from dataplane.hosts.vm.emulator import Calls, Emulator, Failed
from dataplane.hosts.vm.own_disk import FOLDER
from dataplane.hosts.vm.qmp import Monitor, MonitorError
from dataplane.hosts.vm.starting import BOOT_PATIENCE, STATE_PATIENCE, Means, Start, patience_for
from dataplane.hosts.vm.twin import Berth, Twin
from dataplane.hosts.vm.volumes import Volumes
from dataplane.images import seed
from dataplane.images.errors import ImageError

if TYPE_CHECKING:
    from dataplane.hosts.driver import Place
    from dataplane.hosts.vm.channel import Broker
    from dataplane.hosts.vm.own_disk import OwnDisk
    from dataplane.hosts.vm.saved_state import Saved
    from dataplane.images.image import Image
    from dataplane.images.snapshots import SnapshotKey
    from dataplane.plan.pieces import HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import VirtualMachine

EVENT = "vm"
"""The kind of the events about machines."""


class Machine:
    """A machine; its switch port exists from the first ``wire_in`` on.

    ``state``: ``off``, ``starting``, ``running``, ``paused``, ``panicked``, or ``silent``: QEMU runs, and the
    guest's agent does not answer. ``standing``: its state, when it was saved while it was paused, and is
    still.
    """

    def __init__(self, host: HostPlan, space: Namespace, settings: VirtualMachine, means: Means) -> None:
        self.state = "off"
        self.standing: Saved | None = None
        self._host, self._means = host, means
        self._wire: WirePlan = host.wire
        self._names_file = ""
        calls = Calls(self._heard, lambda: self.state == "starting", self._ended, self._answered)
        self._emulator = Emulator(host.name, space, calls)
        self._start = Start(host.name, settings, means, self._emulator, self._told, self._say)
        self._from = ""
        self._began = self._seconds = 0.0
        self._why = ""
        self._late = False
        self._acting = threading.RLock()
        """Held by who starts, stops or configures the machine."""
        self._was_reset = threading.Event()
        self._changed = threading.Condition()
        self.volumes = Volumes(
            host.name,
            lambda: agent_socket(self._emulator.folder),
            self.qemu,
            lambda: self.state == "running" and self._emulator.answers.is_set(),
        )

    # At the switch port

    def wire_in(self, host: HostPlan, wire: WirePlan) -> None:
        """The wire was made, for the first time or again."""
        self._host, self._wire = host, wire
        self._emulator.plug(wire)
        self._address()

    def rewire(self, host: HostPlan, old: WirePlan, new: WirePlan) -> None:
        """Other addresses, routes, MTU or offloads. A machine that does not answer gets them when it does."""
        network.change(self._emulator.space, old, new)
        self._host, self._wire = host, new
        self._address()

    def _address(self) -> None:
        if self.state == "running":
            self._configure(self._interface())

    # Starting

    def begin(self, place: Place) -> None:
        """Offer the machine's sockets in the place's folder, and start it; don't wait. Raises OSError."""
        self._names_file = place.names_file
        self._emulator.offer(place.folder)
        self.power_on()

    def power_on(self) -> bool:
        """Start QEMU; don't wait. Whether it was off."""
        with self._acting:
            if self._emulator.given_up or self.state != "off":
                return False
            self._become("starting")
        self._await(self._start.come_up)
        return True

    def ready(self, patience: float) -> None:
        """Wait until commands run in the machine. Raises HostError."""
        with self._changed:
            ready = self._changed.wait_for(lambda: self.state != "starting", patience)
        if not ready:
            self._late = True
            doing = self.doing() or "it has not come up"
            raise HostError(f"{doing}, after {patience:.0f} s; an event tells when it is up", self._look())
        if self.state == "off" or self.state == "silent":
            raise HostError(self._why or "it is off", self._look())

    def doing(self) -> str:
        """What a machine does that is coming up; empty: it isn't."""
        if self.state != "starting":
            return ""
        words = self._emulator.last_words()
        said = f"; on its console: {words[:80]}" if words else ""
        return f"boots from {Path(self.settings.image).name}{said}"

    @property
    def patience(self) -> float:
        """Seconds in which it is up, on a busy machine."""
        return patience_for(self.settings)

    def _await(self, comes_up: Callable[[], str]) -> None:
        """Let a thread wait until it is up."""
        name = f"vm-{self._host.name}"
        threading.Thread(target=self._come_up, args=(comes_up,), name=name, daemon=True).start()

    def _come_up(self, comes_up: Callable[[], str]) -> None:
        with self._acting:
            if self.state != "starting":  # it was switched off before this began
                return
            self._began = time.monotonic()
            self._from, self._late = "", False
            try:
                self._from = comes_up()
                self._configure_all()
                self._seconds = time.monotonic() - self._began
                self._become("running")
                if self._late:
                    self._say(f"is up after {self._seconds:.0f} s")
            except (Failed, MonitorError, ImageError, HostError, OSError) as error:
                self._fail(str(error))

    # Another QEMU for the machine: dataplane.hosts.vm.saving, dataplane.hosts.vm.migration

    @property
    def acting(self) -> threading.RLock:
        """Who changes the machine holds it."""
        return self._acting

    @property
    def host(self) -> HostPlan:
        """The host that it is."""
        return self._host

    @property
    def settings(self) -> VirtualMachine:
        """What the topology says of it."""
        return self._start.settings

    @property
    def broker(self) -> Broker | None:
        """The broker of its agent."""
        return self._emulator.broker

    def image(self) -> Image:
        """The image from which it was started. Raises HostError if it never was."""
        return self._start.image()

    def key(self) -> SnapshotKey:
        """What a QEMU must be like to read its state. Raises HostError if it was never started."""
        return self._start.key()

    def qemu(self) -> Twin | None:
        """The QEMU that it has now."""
        return self._emulator.twin()

    def berth(self) -> Berth:
        """Where its QEMU is attached."""
        return self._emulator.berth()

    @property
    def disk(self) -> OwnDisk | None:
        """Its disk; None: it boots an image of sdnlab."""
        return self._start.disk

    def launch(self, berth: Berth, changes: IO[bytes] | None = None) -> Twin:
        """Start a QEMU that waits for a state of the machine; the caller connects its monitor.

        ``changes``: what that machine has written to its disk, if not what the present one has. Raises
        HostError, OSError.
        """
        return self._start.launch(None, berth, restored=True, changes=changes)

    def begin_anew(self) -> None:
        """What it was is over: another state comes. Commands that run in it end."""
        self._become("starting")
        self._emulator.lost("the machine has returned to a saved state, in which this command does not run")

    def adopt(self, twin: Twin) -> None:
        """Let a QEMU be the machine from now on; the one before ends."""
        self._emulator.replace(twin)

    def come_back(self) -> None:
        """Its QEMU goes on from a state of earlier: wait for the agent, and be the host of the plan.

        Raises HostError; then the machine is there, but its agent does not answer.
        """
        self._emulator.answers.clear()
        self._emulator.reach("port", "the machine was restored")
        try:
            self._emulator.await_agent(BOOT_PATIENCE)
            self._configure_all()
            self._become("running")
        except (Failed, OSError) as error:
            self._fail(str(error))
            raise HostError(f"{self._host.name} does not come up: {error}", self._look()) from None

    def go_to(self, host: HostPlan, wire: WirePlan, berth: Berth) -> None:
        """It is at another switch port now, with its QEMU and its agent."""
        old = self._wire
        self._host, self._wire = host, wire
        self._emulator.go_to(berth)
        if (old.addresses, old.gateways, old.mtu) != (wire.addresses, wire.gateways, wire.mtu):
            self._address()

    # Being the host of the plan

    def _mac(self) -> str:
        return self._wire.near.mac or self._host.host.mac

    def _told(self) -> seed.Machine:
        wire = self._wire
        return seed.Machine(self._host.host.hostname, self._mac(), wire.addresses, wire.gateways, wire.mtu)

    def _interface(self) -> list[steps.Step]:
        wire = self._wire
        return steps.interface_steps(self._mac(), wire.mtu, wire.addresses, wire.gateways)

    def _configure_all(self) -> None:
        names = Path(self._names_file or "/etc/hosts").read_text(errors="replace")
        identity = steps.identity_steps(self._host.host, names, time.time_ns(), os.urandom(32))
        self._configure([*self._interface(), *identity])
        self._take_volumes()

    def _take_volumes(self) -> None:
        for problem in self.volumes.come():
            self._means.hear(self._host.name, EVENT, problem)

    def _configure(self, wanted: Sequence[steps.Step]) -> None:
        try:
            failures = client.configure(agent_socket(self._emulator.folder), wanted)
        except client.Unreachable as error:
            self._say(f"does not take its addresses: {error}")
            return
        if failures:
            self._say(f"refused some of its settings: {'; '.join(failures)}")

    def _answered(self) -> None:
        """Called by the broker: the agent answers."""
        if self.state in ("running", "silent"):  # it was reset, or has come up late
            threading.Thread(target=self._returned, name=f"vm-{self._host.name}", daemon=True).start()

    def _returned(self) -> None:
        with self._acting:
            if self.state in ("running", "silent") and self._emulator.answers.is_set():
                self._configure_all()
                if self.state == "silent":
                    if not self._from:  # it was given up while it booted
                        self._from, self._seconds = "boot", time.monotonic() - self._began
                    self._become("running")
                    self._say("answers now")

    # Control

    def pause(self) -> bool:
        """Let the machine's time stand still; whether it did not before. Raises HostError."""
        return self._switch("stop", "paused", ("running", "silent"))

    def resume(self) -> bool:
        """Let it go on; whether it stood still. Raises HostError."""
        if self.state == "panicked":
            raise HostError("its kernel has panicked, and can't go on", f"sdnlab vm reset {self._host.name}")
        goes = self._switch("cont", "running", ("paused",))
        if goes:
            with self._acting:
                self._take_volumes()  # those that it was to get meanwhile
        return goes

    def reset(self) -> None:
        """Boot it anew, as its reset button would; don't wait until it is up. Raises HostError."""
        if doing := self.doing():  # who starts it holds it until it is up
            name = self._host.name
            raise HostError(f"{name} {doing}", f"wait until it is up, or: sdnlab vm stop {name}")
        with self._acting:
            monitor, before = self._must_run(), self.state
            self._was_reset.clear()
            self._emulator.reboots = 0
            self._become("starting")
            try:
                with self._refusals():
                    monitor.execute("system_reset")
                    # before it is reset, its agent would still answer, and a machine that stands still would
                    # go on with what it was doing: rebooting, after a panic
                    self._was_reset.wait(STATE_PATIENCE)
                    if before in ("paused", "panicked"):
                        monitor.execute("cont")
            except HostError:
                self._become(before)
                raise
        self._await(self._start.come_again)

    def power_off(self) -> bool:
        """End QEMU, as pulling the plug would; whether it was on."""
        # who starts it holds it until it is up
        off = self._emulator.called_off() if self.state == "starting" else contextlib.nullcontext()
        with off, self._acting:
            was = self._emulator.process is not None
            self._emulator.end()
            self._become("off")
            return was

    def screen(self) -> bytes:
        """What the machine's screen shows, as PNG. Raises HostError."""
        monitor = self._must_run()
        picture = os.memfd_create("screen", os.MFD_CLOEXEC)
        # QEMU takes a descriptor of a set only with the access that it asks for
        only_written = os.open(f"/proc/self/fd/{picture}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            with self._refusals():
                given = monitor.give(only_written, "add-fd")["fdset-id"]
                try:
                    monitor.execute("screendump", filename=f"/dev/fdset/{given}", format="png")
                finally:
                    monitor.execute("remove-fd", fdset_id=given)
            return os.pread(picture, os.fstat(picture).st_size, 0)
        finally:
            os.close(only_written)
            os.close(picture)

    def told(self) -> dict[str, str | int | float | bool]:
        """What ``status`` tells."""
        told: dict[str, str | int | float | bool] = {
            "state": self.state,
            "image": self.settings.image,
            "vcpus": self.settings.vcpus,
            "memory": self.settings.memory,
            "nic": self.settings.nic,
        }
        if (choice := self._start.choice) is not None:
            told |= {"accelerator": choice.accelerator, "accelerator_why": choice.why}
        if (process := self._emulator.process) is not None:
            told |= {"pid": process.pid, "resident": resident(process.pid)}
        if self._from:
            told |= {"came_by": self._from, "seconds": round(self._seconds, 3)}
        why = self._why if self.state in ("off", "silent", "panicked") else self.doing()
        if why:
            told["why"] = why
        return told

    def end(self) -> None:
        """End everything of the machine."""
        self._emulator.give_up()  # whoever waits for the machine sees it
        with self._acting:
            self._emulator.close()
            self._start.forget()
            self._become("off")

    def _switch(self, command: str, state: str, before: Sequence[str]) -> bool:
        with self._acting:
            monitor = self._must_run()
            if self.state not in before:
                return False
            with self._refusals():
                monitor.execute(command)
            self._become(state)
            return True

    def _must_run(self) -> Monitor:
        monitor = self._emulator.monitor
        if self._emulator.process is None or monitor is None or self.state == "off":
            raise HostError(f"{self._host.name} is off", f"sdnlab vm start {self._host.name}")
        return monitor

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except MonitorError as error:
            raise HostError(f"{self._host.name}: {error}", f"sdnlab vm stop {self._host.name}") from None

    # What happens by itself

    def _ended(self, why: str) -> None:
        """Called from the thread that waits for QEMU."""
        self._why = why
        self._become("off")
        self._say(f"has ended: {why}")

    def _heard(self, event: str, data: Mapping[str, Any]) -> None:
        """Called from the loop of the monitors."""
        if event == "GUEST_PANICKED":
            self._why = "the kernel of its guest has panicked"
            self._become("panicked")
            self._emulator.lost(f"{self._why}: sdnlab logs {self._host.name}/console")
            threading.Thread(target=self._tell_panic, name=f"vm-{self._host.name}", daemon=True).start()
        elif event == "RESET":
            self._emulator.lost("the machine was reset")
            self._emulator.answers.clear()
            self._was_reset.set()
            if data.get("guest") and self.state == "starting":
                self._emulator.reboots += 1
            elif data.get("guest") and self.state in ("running", "silent"):
                self._say("boots anew: its guest wants it")
                self._emulator.reboots = 0
                self._become("starting")
                self._await(self._start.come_again)
        elif event == "BLOCK_IO_ERROR":
            self._stuck(data)

    def _tell_panic(self) -> None:
        words = self._emulator.panic()[:200]
        why = f"the kernel of its guest has panicked{f': {words}' if words else ''}"
        if self.state == "panicked":
            self._why = why
        name = self._host.name
        self._say(f"has stopped: {why}; see: sdnlab logs {name}/console; then: sdnlab vm reset {name}")

    def _stuck(self, data: Mapping[str, Any]) -> None:
        """QEMU could not write to the machine's disk; ``data``: of its event BLOCK_IO_ERROR."""
        why = f"no space is left in {FOLDER}" if data.get("nospace") else str(data.get("reason", "no reason"))
        if data.get("action") == "stop":
            self._become("paused")
            self._say(
                f"stands still, what it writes to its disk can't be kept: {why}; free space, then: "
                f"sdnlab vm resume {self._host.name}"
            )
        else:
            self._say(f"gets an error from its disk: {why}")

    def _fail(self, why: str) -> None:
        if self._emulator.given_up:
            return
        alive = self._emulator.process is not None
        self._why = why
        self._become("silent" if alive else "off")
        self._say(f"runs, but {why}" if alive else f"does not come up: {why}")

    def _look(self) -> str:
        return f"see: sdnlab console {self._host.name}" if self.state == "silent" else "see: sdnlab events"

    def _say(self, text: str) -> None:
        self._means.hear(self._host.name, EVENT, f"{self._host.name} {text}")

    def _become(self, state: str) -> None:
        with self._changed:
            self.state = state
            if state != "paused" and self.standing is not None:
                self.standing.close()
                self.standing = None
            self._changed.notify_all()


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself, and its share of what it has with others (proc(5))."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
