"""One virtual machine: started, watched, controlled, ended."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataplane.hosts.driver import Hear, HostError
from dataplane.hosts.vm import client, network, process, steps
from dataplane.hosts.vm.channel import Broker
from dataplane.hosts.vm.command_line import Ends, Kernel, Memory, command_line
from dataplane.hosts.vm.console import Console
from dataplane.hosts.vm.qmp import Monitor, MonitorError
from dataplane.hosts.vm.template import memory_file, state_file
from dataplane.hosts.vm.twin import Berth, StateError, Twin, read_state
from dataplane.images import exported
from dataplane.images.errors import ImageError
from topologies.model.hosts import VirtualMachine

if TYPE_CHECKING:
    from dataplane.hosts.driver import Place
    from dataplane.hosts.vm.accelerator import Choice
    from dataplane.hosts.vm.template import Template
    from dataplane.hosts.vm.templates import Templates
    from dataplane.images.image import Image
    from dataplane.images.snapshots import SnapshotKey
    from dataplane.plan.pieces import HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace

BOOT_PATIENCE = 60.0
"""Seconds in which a machine's agent must answer after its start: an emulated one on a busy machine."""
RESTORE_PATIENCE = 15.0
"""The same after it was restored from a template; then the machine boots."""
MOST_REBOOTS = 2
"""A guest that boots so often before its agent answers never comes up: too little memory, for example."""
STATE_PATIENCE = 20.0
"""Seconds in which QEMU must have written or read a machine's state."""
EVENT = "vm"
"""The kind of the events about machines."""
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


class _Failed(Exception):
    """The machine does not come up; the message says why."""


class Machine:
    """A machine; its switch port exists from the first ``wire_in`` on.

    ``state``: ``off``, ``starting``, ``running``, ``paused``, ``panicked``, or ``silent``: QEMU runs, and the
    guest's agent does not answer.
    """

    def __init__(self, host: HostPlan, space: Namespace, settings: VirtualMachine, means: Means) -> None:
        self.state = "off"
        self._host, self._space, self._settings, self._means = host, space, settings, means
        self._wire: WirePlan = host.wire
        self._folder = Path()
        self._names_file = ""
        self._tap = -1
        self._port: socket.socket | None = None
        self._process: process.Process | None = None
        self._monitor: Monitor | None = None
        self._broker: Broker | None = None
        self._console: Console | None = None
        self._choice: Choice | None = None
        self._from = ""
        self._seconds = 0.0
        self._why = ""
        self._resetting = False
        self._image: Image | None = None
        self._held = -1
        self._came = False
        self._reboots = 0
        self._gone = False
        self._acting = threading.RLock()
        """Held by who starts, stops or configures the machine."""
        self._answers = threading.Event()
        self._was_reset = threading.Event()
        self._changed = threading.Condition()

    # At the switch port

    def wire_in(self, host: HostPlan, wire: WirePlan) -> None:
        """The wire was made, for the first time or again."""
        self._host, self._wire = host, wire
        if self._tap < 0:
            network.silence(self._space)
            self._tap = network.open_tap(self._space)
        network.join(self._space, wire)
        self._address()

    def rewire(self, host: HostPlan, old: WirePlan, new: WirePlan) -> None:
        """Other addresses, routes, MTU or offloads. A machine that does not answer gets them when it does."""
        network.change(self._space, old, new)
        self._host, self._wire = host, new
        self._address()

    def _address(self) -> None:
        if self.state == "running":
            self._configure(self._interface())

    # Starting

    def begin(self, place: Place) -> None:
        """Offer the machine's sockets in the place's folder, and start it; don't wait. Raises OSError."""
        self._folder, self._names_file = Path(place.folder), place.names_file
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("port", "console"):  # of a machine of this name that was here before
            (self._folder / name).unlink(missing_ok=True)
        self._port = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._port.bind(str(self._folder / "port"))
        self._port.listen(1)
        self._console = Console(str(self._folder / "console"))
        self._console.open()
        self._broker = Broker(str(self._folder / "port"), agent_socket(place.folder), self._agent)
        self._broker.start()
        self.power_on()

    def power_on(self) -> bool:
        """Start QEMU; don't wait. Whether it was off."""
        with self._acting:
            if self._gone or self.state != "off":
                return False
            self._become("starting")
        threading.Thread(target=self._come_up, name=f"vm-{self._host.name}", daemon=True).start()
        return True

    def ready(self, patience: float) -> None:
        """Wait until commands run in the machine. Raises HostError."""
        with self._changed:
            ready = self._changed.wait_for(lambda: self.state != "starting", patience)
        if not ready:
            raise HostError(f"it has not come up within {patience:.0f} s", self._look())
        if self.state == "off" or self.state == "silent":
            raise HostError(self._why or "it is off", self._look())

    def _come_up(self) -> None:
        with self._acting:
            began = time.monotonic()
            try:
                self._from = self._start_or_boot()
                self._seconds = time.monotonic() - began
                self._become("running")
            except (_Failed, MonitorError, ImageError, HostError, OSError, client.Unreachable) as error:
                self._fail(str(error))

    def _start_or_boot(self) -> str:
        """How it came up: ``snapshot`` or ``boot``."""
        image = self._means.image(self._settings.image)
        self._hold(image)
        self._choice = self._means.choose(self._settings.accelerator)
        if self._continue_exported(image):
            return "export"
        key = self._means.key(self._settings, self._choice.accelerator)
        with self._means.templates.only(image, key):
            template = self._means.templates.find(image, key)
            if template is None:
                self._boot(image, key)
                return "boot"
        try:
            self._restore(image, template)
            return "snapshot"
        except (_Failed, MonitorError, client.Unreachable) as error:
            if self._gone:
                raise
            self._say(f"can't be restored from its snapshot ({error}): it boots, and the snapshot is removed")
            self._end_process()
        with self._means.templates.only(image, key):
            self._means.templates.forget(image, key)
            self._boot(image, key)
        return "boot"

    def _continue_exported(self, image: Image) -> bool:
        """Take the settings of an exported machine where the topology has the default; at the first start go
        on from its state, too, if it has one that fits. Whether it goes on."""
        known = exported.exported(image)
        if known is None:
            return False
        self._settings = of_exported(self._settings, known.key)
        first, self._came = not self._came, True
        if known.state is None or not first:
            return False
        if differences := unlike(known.key, self.key()):
            self._say(f"boots, and does not go on where it was exported: {differences}")
            return False
        try:
            with known.state.open("rb") as state:
                twin = self.launch(image, None, self.berth(), restored=True)
                assert self._console is not None and twin.console is not None
                self._answers.clear()
                self._reach("port", "it is starting")
                self._process, self._monitor = twin.process, twin.monitor
                self._console.attach(twin.console)
                twin.monitor.connect()
                read_state(twin.monitor, state.fileno(), STATE_PATIENCE * 3)
            twin.monitor.execute("cont")
            self._await_agent(RESTORE_PATIENCE)
        except (_Failed, StateError, MonitorError, OSError) as error:
            if self._gone:
                raise
            self._say(f"can't go on where it was exported ({error}): it boots")
            self._end_process()
            return False
        self._configure_all()
        return True

    def _hold(self, image: Image | None) -> None:
        """Keep the files of the image from which the machine was started: another QEMU may need them."""
        held = image.hold() if image is not None else -1
        if self._held >= 0:
            os.close(self._held)
        self._image, self._held = image, held

    def _boot(self, image: Image, key: SnapshotKey) -> None:
        memory = memory_file(self._settings.memory)
        try:
            self._launch(image, Memory(memory, shared=True))
            self._await_agent(BOOT_PATIENCE)
            self._keep(image, key, memory)
        finally:
            os.close(memory)
        self._configure_all()

    def _keep(self, image: Image, key: SnapshotKey, memory: int) -> None:
        """Make a template of the machine, which has booted and is nobody yet. Without one it goes on, too."""
        monitor = self._asked()
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
        except (OSError, _Failed, MonitorError) as error:
            print(f"{self._host.name}: no snapshot of its boot: {error}", flush=True)  # into the log
        finally:
            os.close(state)
            monitor.execute("cont")

    def _restore(self, image: Image, template: Template) -> None:
        state = state_file(template.state)
        try:
            self._launch(image, Memory(template.memory, shared=False), restored=True)
            monitor = self._asked()
            monitor.execute("migrate-set-capabilities", capabilities=IGNORE_SHARED)
            monitor.give(state, "getfd", fdname="state")
            monitor.execute("migrate-incoming", uri="fd:state")
            self._await_migration()
            none = [{**IGNORE_SHARED[0], "state": False}]
            monitor.execute("migrate-set-capabilities", capabilities=none)
            monitor.execute("cont")
        finally:
            os.close(state)
        self._await_agent(RESTORE_PATIENCE)
        self._configure_all()

    def _launch(self, image: Image, memory: Memory, restored: bool = False) -> None:
        """Start QEMU and greet its monitor."""
        self._answers.clear()
        self._reboots = 0
        self._reach("port", "it is starting")
        twin = self.launch(image, memory, self.berth(), restored)
        self._process, self._monitor = twin.process, twin.monitor
        assert self._console is not None and twin.console is not None
        self._console.attach(twin.console)
        twin.monitor.connect()

    def launch(self, image: Image, memory: Memory | None, berth: Berth, restored: bool = False) -> Twin:
        """Start a QEMU for the machine, beside that which it may have; the caller connects its monitor."""
        assert self._choice is not None
        ours, theirs = socket.socketpair()
        console, port = socket.socketpair()
        files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (image.kernel, image.initrd)]
        ends = Ends(berth.tap, theirs.fileno(), port.fileno(), berth.port.fileno())
        words = command_line(
            self._host.name,
            self._wire.near.mac or self._host.host.mac,
            self._settings,
            self._choice.accelerator,
            Kernel(files[0], files[1], image.arguments),
            memory,
            ends,
            restored,
        )
        passed = [berth.tap, theirs.fileno(), port.fileno(), berth.port.fileno(), *files]
        passed += [memory.file] if memory is not None else []
        kvm = self._choice.accelerator == "kvm"
        monitor = Monitor(self._host.name, ours, self._heard)
        try:
            mine: list[process.Process] = []
            started = process.start(
                words, berth.space, passed, lambda why: self._ended(mine[0] if mine else None, why), kvm
            )
            mine.append(started)
        except BaseException:
            ours.close()
            console.close()
            raise
        finally:
            theirs.close()
            port.close()
            for fd in files:
                os.close(fd)
        return Twin(started, monitor, console)

    def _reach(self, port: str, why: str) -> None:
        """Where the broker finds QEMU from now on, and what it tells programs until it does."""
        if self._broker is not None:
            self._broker.connect(str(self._folder / port), why)

    def _await_agent(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        running = self._process
        while not self._answers.wait(0.05):
            if running is None or self._process is not running:
                raise _Failed(self._why or "QEMU has ended")
            if self._gone:
                raise _Failed("it is being stopped")
            words = self._console.last_words() if self._console is not None else ""
            if self._reboots >= MOST_REBOOTS:
                self._end_process()
                raise _Failed(f"its guest boots again and again; on its console: {words[:200]}")
            if time.monotonic() > deadline:
                raise _Failed(
                    f"its agent has not answered within {patience:.0f} s"
                    + (f"; on its console: {words[:200]}" if words else "")
                )

    def _await_migration(self) -> None:
        deadline = time.monotonic() + STATE_PATIENCE
        while True:
            status = self._asked().execute("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise _Failed(f"QEMU did not read or write its state: {status}")
            time.sleep(0.005)  # QEMU tells the end by an event only after the answer to this

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
        return self._settings

    @property
    def broker(self) -> Broker | None:
        """The broker of its agent."""
        return self._broker

    def image(self) -> Image:
        """The image from which it was started. Raises HostError if it never was."""
        if self._image is None:
            raise HostError(f"{self._host.name} has not been started", f"sdnlab vm start {self._host.name}")
        return self._image

    def key(self) -> SnapshotKey:
        """What a QEMU must be like to read its state. Raises HostError if it was never started."""
        self.image()
        assert self._choice is not None
        return self._means.key(self._settings, self._choice.accelerator)

    def qemu(self) -> Twin | None:
        """The QEMU that it has now."""
        if self._process is None or self._monitor is None:
            return None
        return Twin(self._process, self._monitor, None)

    def berth(self) -> Berth:
        """Where its QEMU is attached."""
        assert self._port is not None
        return Berth(self._space, self._tap, self._port, self._folder)

    def begin_anew(self) -> None:
        """What it was is over: another state comes."""
        self._become("starting")

    def adopt(self, twin: Twin) -> None:
        """Let a QEMU be the machine from now on; the one before ends."""
        assert self._console is not None and twin.console is not None
        old, monitor = self._process, self._monitor
        self._process, self._monitor = twin.process, twin.monitor
        self._console.attach(twin.console)
        if old is not None:
            old.kill()
            old.wait(10.0)
        if monitor is not None:
            monitor.close()

    def come_back(self) -> None:
        """Its QEMU goes on from a state of earlier: wait for the agent, and be the host of the plan.

        Raises HostError; then the machine is there, but its agent does not answer.
        """
        self._answers.clear()
        self._reach("port", "the machine was restored")
        try:
            self._await_agent(RESTORE_PATIENCE)
            self._configure_all()
            self._become("running")
        except (_Failed, OSError) as error:
            self._fail(str(error))
            raise HostError(f"{self._host.name} does not come up: {error}", self._look()) from None

    def go_to(self, host: HostPlan, wire: WirePlan, berth: Berth) -> None:
        """It is at another switch port now, with its QEMU and its agent."""
        old_tap, old_port, old_wire = self._tap, self._port, self._wire
        self._host, self._wire = host, wire
        self._space, self._tap, self._port, self._folder = berth.space, berth.tap, berth.port, berth.folder
        os.close(old_tap)
        if old_port is not None:
            old_port.close()
        if (old_wire.addresses, old_wire.gateways, old_wire.mtu) != (wire.addresses, wire.gateways, wire.mtu):
            self._address()

    # Being the host of the plan

    def _interface(self) -> list[steps.Step]:
        wire = self._wire
        return steps.interface_steps(
            wire.near.mac or self._host.host.mac, wire.mtu, wire.addresses, wire.gateways
        )

    def _configure_all(self) -> None:
        names = Path(self._names_file or "/etc/hosts").read_text(errors="replace")
        identity = steps.identity_steps(self._host.host, names, time.time_ns(), os.urandom(32))
        self._configure([*self._interface(), *identity])

    def _configure(self, wanted: Sequence[steps.Step]) -> None:
        try:
            failures = client.configure(agent_socket(str(self._folder)), wanted)
        except client.Unreachable as error:
            self._say(f"does not take its addresses: {error}")
            return
        if failures:
            self._say(f"refused some of its settings: {'; '.join(failures)}")

    def _agent(self, answers: bool, why: str) -> None:
        """Called by the broker: the agent answers, or is lost."""
        if not answers:
            self._answers.clear()
            return
        self._answers.set()
        if self.state in ("running", "silent"):  # it was reset, or has come up late
            threading.Thread(target=self._returned, name=f"vm-{self._host.name}", daemon=True).start()

    def _returned(self) -> None:
        with self._acting:
            self._resetting = False
            if self.state in ("running", "silent") and self._answers.is_set():
                self._configure_all()
                if self.state == "silent":
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
        return self._switch("cont", "running", ("paused",))

    def reset(self) -> None:
        """Boot it anew, as its reset button would. Raises HostError."""
        with self._acting:
            monitor = self._must_run()
            self._was_reset.clear()
            self._resetting = True
            with self._refusals():
                monitor.execute("system_reset")
                if self.state in ("paused", "panicked"):
                    # before it is reset, it would go on with what it was doing: rebooting, after a panic
                    self._was_reset.wait(STATE_PATIENCE)
                    monitor.execute("cont")
            self._become("running")

    def power_off(self) -> bool:
        """End QEMU, as pulling the plug would; whether it was on."""
        with self._acting:
            was = self._process is not None
            self._end_process()
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
            "image": self._settings.image,
            "vcpus": self._settings.vcpus,
            "memory": self._settings.memory,
            "nic": self._settings.nic,
        }
        if self._choice is not None:
            told |= {"accelerator": self._choice.accelerator, "accelerator_why": self._choice.why}
        if self._process is not None:
            told |= {"pid": self._process.pid, "resident": resident(self._process.pid)}
        if self._from:
            told |= {"came_by": self._from, "seconds": round(self._seconds, 3)}
        if self._why and self.state in ("off", "silent"):
            told["why"] = self._why
        return told

    def end(self) -> None:
        """End everything of the machine."""
        self._gone = True
        self._kill()  # whoever waits for the machine sees it
        with self._acting:
            self._end_process()
            if self._broker is not None:
                self._broker.stop()
            if self._console is not None:
                self._console.close()
            if self._port is not None:
                self._port.close()
            if self._tap >= 0:
                os.close(self._tap)
                self._tap = -1
            self._hold(None)
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
        if self._process is None or self._monitor is None or self.state == "off":
            raise HostError(f"{self._host.name} is off", f"sdnlab vm start {self._host.name}")
        return self._monitor

    def _asked(self) -> Monitor:
        if self._monitor is None:
            raise _Failed(self._why or "QEMU has ended")
        return self._monitor

    @contextlib.contextmanager
    def _refusals(self) -> Any:
        try:
            yield
        except MonitorError as error:
            raise HostError(f"{self._host.name}: {error}", f"sdnlab vm stop {self._host.name}") from None

    def _kill(self) -> None:
        if (running := self._process) is not None:
            running.kill()

    def _end_process(self) -> None:
        running, self._process = self._process, None
        monitor, self._monitor = self._monitor, None
        self._answers.clear()
        self._reach("off", f"it is off: sdnlab vm start {self._host.name}")
        if running is not None:
            running.kill()
            running.wait(10.0)
        if monitor is not None:
            monitor.close()

    # What happens by itself

    def _ended(self, which: process.Process | None, why: str) -> None:
        """Called from the thread that waits for QEMU."""
        if which is None or self._process is not which or not why:
            return
        self._why = why
        coming = self.state == "starting"
        self._process = None
        monitor, self._monitor = self._monitor, None
        self._answers.clear()
        self._reach("off", f"it is off: {why}; sdnlab vm start {self._host.name}")
        if monitor is not None:
            monitor.close()
        if not coming:  # else who starts it tells
            self._become("off")
            self._say(f"has ended: {why}")

    def _heard(self, event: str, data: Mapping[str, Any]) -> None:
        """Called from the loop of the monitors."""
        if event == "GUEST_PANICKED":
            self._become("panicked")
            if self._broker is not None:
                self._broker.lost("the kernel of its guest has panicked")
            self._say(f"has stopped: the kernel of its guest has panicked; sdnlab vm reset {self._host.name}")
        elif event == "RESET" and self._broker is not None:
            self._was_reset.set()
            self._broker.lost("the machine was reset")
            if data.get("guest") and self.state == "starting":
                self._reboots += 1
            elif data.get("guest") and not self._resetting:
                self._say("boots anew: its guest wants it")

    def _fail(self, why: str) -> None:
        if self._gone:
            return
        alive = self._process is not None
        self._why = why
        self._become("silent" if alive else "off")
        self._say(f"does not come up: {why}")

    def _look(self) -> str:
        return f"see: sdnlab console {self._host.name}" if self.state == "silent" else "see: sdnlab events"

    def _say(self, text: str) -> None:
        self._means.hear(self._host.name, EVENT, f"{self._host.name} {text}")

    def _become(self, state: str) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()


def of_exported(settings: VirtualMachine, key: SnapshotKey) -> VirtualMachine:
    """The settings of a machine whose image was exported: where the topology has the default, those of the
    file."""
    default = VirtualMachine()
    given = {"memory": key.memory, "vcpus": key.vcpus, "nic": key.nic}
    return settings.model_copy(
        update={
            word: value for word, value in given.items() if getattr(settings, word) == getattr(default, word)
        }
    )


def unlike(exported: SnapshotKey, here: SnapshotKey) -> str:
    """What keeps a QEMU from reading a state, in words; empty: nothing."""
    words = {"qemu": "QEMU", "accelerator": "accelerator", "memory": "memory", "vcpus": "vcpus", "nic": "nic"}
    differences = [
        f"{word} was {getattr(exported, field)}, and is {getattr(here, field)}"
        for field, word in words.items()
        if getattr(exported, field) != getattr(here, field)
    ]
    if not differences and exported.devices != here.devices:
        differences.append("this version of sdnlab gives machines other devices")
    return "; ".join(differences)


def agent_socket(folder: str) -> str:
    """The path of the socket for programs that speak to a machine's agent."""
    return f"{folder}/agent"


def resident(pid: int) -> int:
    """Bytes of memory that a process has for itself, and its share of what it has with others (proc(5))."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
