"""Hosts that are virtual machines under QEMU (``kind: vm``)."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from dataplane.hosts.driver import (
    BlockDevice,
    Execute,
    Hear,
    HostError,
    Lack,
    Place,
    Power,
    PowerAction,
    Running,
    Say,
)

if TYPE_CHECKING:
    from dataplane.hosts.vm.accelerator import Choice
    from dataplane.hosts.vm.exporting import Export
    from dataplane.hosts.vm.machine import Machine
    from dataplane.hosts.vm.migration import Journey
    from dataplane.hosts.vm.saving import SavedStates
    from dataplane.hosts.vm.starting import Means
    from dataplane.images.image import Image
    from dataplane.images.snapshots import SnapshotKey
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host, VirtualMachine

ROOT = Path(__file__).resolve().parents[3]
ENTER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.vm.client import main; main()"
PROGRAM = "qemu-system-x86_64"
QUESTION_PATIENCE = 1.0
"""Seconds that a question waits for a machine that is being started or changed."""
OVERHEAD = 80 << 20
"""Bytes that QEMU needs for a machine beside the machine's memory, most of them for code that TCG
translates."""


class VmHosts:
    """The driver. The supervisor's object has the machines; other processes reach them by their sockets."""

    takes_time: ClassVar[bool] = True
    own_terminals: ClassVar[bool] = True

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}  # by namespace
        self._journeys: dict[str, Journey] = {}  # by host
        self._saved: dict[Machine, SavedStates] = {}
        self._hear: Hear = lambda host, kind, text: None
        self._means: Means | None = None
        self._qemu: str | None = None
        self._refuted: Choice | None = None
        self._lock = threading.Lock()

    # Before the lab

    def needs_preparation(self, hosts: Sequence[Host]) -> bool:
        """The image may be missing, and the accelerator not be tried yet."""
        return bool(hosts)

    def prepare(self, hosts: Sequence[Host], say: Say) -> None:
        """Build missing images, check disks, and find out whether KVM works. Raises HostError."""
        from dataplane.hosts.vm import accelerator
        from dataplane.images import disks, images
        from dataplane.images.errors import ImageError

        check_memory(hosts)
        wanted = {settings_of(host).image for host in hosts}
        try:
            for image in sorted(wanted):
                if disks.is_disk(image):
                    disks.ensure(image, say)
                else:
                    ready = images.ensure(image, say)
                    if ready.disk is not None:  # it is from anywhere
                        disks.ensure(str(ready.disk), say)
        except ImageError as error:
            raise HostError(error.what, error.remedy) from None
        version = self._version()
        if accelerator.remembered(version) is None and any(
            settings_of(host).accelerator == "auto" for host in hosts
        ):
            say("trying whether KVM works on this machine")
            accelerator.choose("auto", version)

    def lacks(self, hosts: Sequence[Host]) -> list[Lack]:
        """QEMU, and memory."""
        from dataplane import facts

        lacks = []
        some = ", ".join(host.name for host in hosts[:3]) + (", ..." if len(hosts) > 3 else "")
        if not has_qemu():
            needed_for = f"the virtual machines ({some})"
            lacks.append(Lack(f"{PROGRAM} is not installed", needed_for, facts.remedy("qemu")))
        lacks += lacks_for_disks(hosts)
        free = available_memory()
        needed = sum(settings_of(host).memory + OVERHEAD for host in hosts)
        if free is not None and needed > free:
            lacks.append(
                Lack(
                    f"{free >> 20} MiB of memory are available, not {needed >> 20} MiB",
                    f"the virtual machines ({some})",
                    "give them less memory (memory: 256MiB), or start fewer",
                )
            )
        return lacks

    def watch(self, hear: Hear) -> None:
        """``hear`` gets what happens to machines."""
        self._hear = hear

    # In the lab

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """Join the wire to the machine's tap; a running machine gets its addresses. Raises OSError."""
        from dataplane.hosts.vm.machine import Machine

        with self._lock:
            machine = self._machines.get(host.netns)
            journey = self._journeys.get(host.name)
            if machine is None and journey is not None:
                journey.wire_in(host, space, wire)
                return
            if machine is None:
                machine = Machine(host, space, settings_of(host.host), self._shared())
                self._machines[host.netns] = machine
        machine.wire_in(host, wire)

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        """Change the machine's interface in place."""
        journey = self._journeys.get(host.name)
        if journey is not None and journey.netns == host.netns:
            journey.rewire(host, old, new)
        else:
            self._machines[host.netns].rewire(host, old, new)

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Start the machine; don't wait until it is up."""
        journey = self._journeys.get(host.name)
        if journey is not None and journey.netns == host.netns:
            journey.begin(place)
        else:
            self._machines[host.netns].begin(place)

    def ready(self, place: Place, patience: float) -> None:
        """Wait until commands run in the machine. Raises HostError."""
        self.machine(place).ready(patience)

    def patience(self, host: Host) -> float:
        """Seconds in which the machine is up: it may boot from a disk."""
        from dataplane.hosts.vm.starting import patience_for

        return patience_for(settings_of(host))

    def doing(self, place: Place) -> str:
        """What a machine does that is coming up."""
        machine = self._machines.get(place.netns)
        return machine.doing() if machine is not None else ""

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """State, accelerator, memory, and how it came up."""
        machine = self._machines.get(place.netns)
        return machine.told() if machine is not None else {}

    def stop(self, place: Place, space: Namespace) -> None:
        """End the machine."""
        with self._lock:
            machine = self._machines.pop(place.netns, None)
            journey = self._journeys.get(place.name)
            saved = self._saved.pop(machine, None) if machine is not None else None
        if journey is not None and journey.netns == place.netns:
            journey.end()
        if machine is not None:
            machine.end()
        if saved is not None:
            saved.close()

    def seen_at(self, host: HostPlan) -> EndPlan:
        """The wire's end in the host's namespace: the bridge's other port is the machine."""
        return replace(host.near, mac=None)

    def machine(self, place: Place) -> Machine:
        """The machine of a host. Raises HostError."""
        machine = self._machines.get(place.netns)
        if machine is None:
            raise HostError(f"{place.name} has no machine now", "see: sdnlab status")
        return machine

    # Control

    def power(self, place: Place, action: PowerAction) -> Power:
        """Start, stop, pause, resume or reset the machine. After a start or reset it is up. Raises
        HostError."""
        machine = self.machine(place)
        if action == "start":
            changed = machine.power_on()
            machine.ready(machine.patience)
        elif action == "stop":
            changed = machine.power_off()
        elif action == "pause":
            changed = machine.pause()
        elif action == "resume":
            changed = machine.resume()
        else:
            machine.reset()
            machine.ready(machine.patience)
            changed = True
        return Power(machine.state, changed)

    def screen(self, place: Place) -> bytes:
        """What the machine's screen shows, as PNG. Raises HostError."""
        return self.machine(place).screen()

    def console(self, place: Place) -> str:
        """The socket of ``dataplane.hosts.vm.console``."""
        return f"{place.folder}/console"

    # Its volumes

    def attach(self, place: Place, device: BlockDevice) -> str:
        """Give the machine a volume, now if it runs, and whenever it starts. Returns a text if it does not
        mount it. Raises HostError."""
        machine = self.machine(place)
        with machine.acting:
            return machine.volumes.attach(device)

    def detach(self, place: Place, name: str, lost: bool = False) -> None:
        """Take a volume away; the machine keeps it while it uses it, unless it is ``lost``. Raises
        HostError."""
        machine = self._machines.get(place.netns)
        if machine is not None:
            with machine.acting:
                machine.volumes.detach(name, lost)

    def write_out(self, place: Place, name: str) -> None:
        """Let the machine write out what it has for its disks. Raises HostError."""
        machine = self.machine(place)
        with machine.acting:
            machine.volumes.write_out(name)

    def device_used(self, place: Place, name: str) -> int | None:
        """The bytes that the file system of a volume uses; None: it is not known. Raises HostError."""
        machine = self.machine(place)
        if not machine.acting.acquire(timeout=QUESTION_PATIENCE):
            return None  # it is coming up
        try:
            return machine.volumes.used(name)
        finally:
            machine.acting.release()

    # Its state

    def saved(self, place: Place) -> SavedStates:
        """The saved states of a machine. Raises HostError."""
        from dataplane.hosts.vm.saving import SavedStates

        machine = self.machine(place)
        with self._lock:
            return self._saved.setdefault(machine, SavedStates(machine))

    def export(self, place: Place) -> Export:
        """The machine as one file. Raises HostError."""
        from dataplane.hosts.vm.exporting import export

        return export(self.machine(place))

    @contextlib.contextmanager
    def travelling(self, place: Place) -> Iterator[Journey]:
        """The machine's next namespace is one to which it moves while it runs. Raises HostError."""
        from dataplane.hosts.vm.migration import Journey

        machine = self.machine(place)
        journey = Journey(machine, self._arrived)
        with self._lock:
            self._journeys[place.name] = journey
        try:
            yield journey
        finally:
            with self._lock:
                del self._journeys[place.name]
            journey.end()

    def _arrived(self, journey: Journey) -> None:
        with self._lock:
            for netns in [netns for netns, one in self._machines.items() if one is journey.machine]:
                del self._machines[netns]
            self._machines[journey.netns] = journey.machine

    # Entering

    def door(self, place: Place) -> VmDoor:
        """The machine's agent."""
        return VmDoor(place)

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """``dataplane.hosts.vm.client`` as a program."""
        from dataplane.hosts.vm.client import agent_socket

        own = [f"{name}={value}" for name, value in place.environment]
        inside = ["env", *own, *words] if own else list(words)
        return [sys.executable, "-c", ENTER, str(ROOT), place.name, agent_socket(place.folder), *inside]

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Run the servers in the machine with its own Python. Raises OSError."""
        import subprocess

        program = (ROOT / "dataplane/hosts/serving.py").read_text(encoding="utf-8")
        words = ["python3", "-I", "-S", "-c", program, place.name, *servers]
        return subprocess.Popen(
            self.command(place, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
        )

    def _version(self) -> str:
        from dataplane.hosts.vm.accelerator import qemu_version

        if self._qemu is None:
            self._qemu = qemu_version()
        return self._qemu

    def _shared(self) -> Means:
        if self._means is None:
            from dataplane.hosts.vm.starting import Means
            from dataplane.hosts.vm.templates import Templates

            self._means = Means(
                lambda host, kind, text: self._hear(host, kind, text),
                Templates(lambda text: print(text, flush=True)),  # into the log
                find_image,
                self._choose,
                self._refute,
                self._key,
            )
        return self._means

    def _choose(self, wanted: str) -> Choice:
        from dataplane.hosts.vm import accelerator

        if wanted == "auto" and self._refuted is not None:
            return self._refuted
        return accelerator.choose(wanted, self._version())

    def _refute(self, why: str) -> None:
        from dataplane.hosts.vm import accelerator

        self._refuted = accelerator.refute(self._version(), why)

    def _key(self, settings: VirtualMachine, accelerator: str, disk: bool) -> SnapshotKey:
        from dataplane.hosts.vm.command_line import devices_mark
        from dataplane.images.snapshots import SnapshotKey

        return SnapshotKey(
            self._version(), accelerator, settings.memory, settings.vcpus, settings.nic, devices_mark(disk)
        )


class VmDoor:
    """The entrance to a virtual machine: a client of its agent."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Run the command in the machine, and exit with its exit code."""
        from dataplane.hosts.vm import client

        path = client.agent_socket(self._place.folder)
        variables = client.passed(environment) | dict(self._place.environment)
        code = client.run(path, command, variables, self._place.name)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def settings_of(host: Host) -> VirtualMachine:
    """The settings of a host of this kind. Raises TypeError for another one."""
    from topologies.model.hosts import VmHost

    if not isinstance(host, VmHost):
        raise TypeError(f"{host.name} is no virtual machine")
    return host.vm


def check_memory(hosts: Sequence[Host]) -> None:
    """Raise HostError for a machine with too little memory to boot its image."""
    from dataplane.images.micro import LEAST_MEMORY
    from topologies.model.hosts import MICRO

    for host in hosts:
        settings = settings_of(host)
        if settings.image == MICRO and settings.memory < LEAST_MEMORY:
            raise HostError(
                f"{host.name} has {settings.memory >> 20} MiB of memory, and the image {MICRO} boots with "
                f"{LEAST_MEMORY >> 20} MiB or more",
                f"write memory: {LEAST_MEMORY >> 20}MiB at hosts.{host.name}, or leave it out (256MiB)",
            )


def find_image(name: str) -> Image:
    """An image that was prepared. Raises HostError."""
    from dataplane.images import exported, images
    from dataplane.images.errors import ImageError

    try:
        if exported.is_path(name):
            return exported.find(name)
        return images.find(name)
    except ImageError as error:
        raise HostError(error.what, error.remedy) from None


def has_qemu() -> bool:
    """Whether QEMU is installed."""
    import shutil

    return shutil.which(PROGRAM) is not None


def lacks_for_disks(hosts: Sequence[Host]) -> list[Lack]:
    """What machines need that boot from a disk: the program that makes a file for what they write."""
    import shutil

    from dataplane.images import disks

    some = [host.name for host in hosts if disks.is_disk(settings_of(host).image)]
    if not some or shutil.which(disks.PROGRAM) is not None:
        return []
    needed = f"virtual machines with a disk ({', '.join(some[:3])}{', ...' if len(some) > 3 else ''})"
    return [Lack(f"{disks.PROGRAM} is not installed", needed, disks.INSTALL)]


def available_memory() -> int | None:
    """Bytes that programs may take without swapping (MemAvailable in proc(5)); None: the kernel doesn't
    say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return None
