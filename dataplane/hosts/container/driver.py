"""Hosts that are containers (``kind: container``): runc runs them in the host's namespaces."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from dataplane.hosts.driver import Execute, Hear, HostError, Lack, Place, Running, Say, packed

if TYPE_CHECKING:
    from dataplane.hosts.container.running import Containers
    from dataplane.hosts.serving_rooms import ServingRooms
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host

ROOT = Path(__file__).resolve().parents[3]
ENTER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from dataplane.hosts.container.execution import main; main()"
)
NEEDED = {
    "runc": ("runc", "container hosts (the runtime)"),
    "catatonit": ("catatonit", "container hosts (their first process)"),
    "nsenter": ("util-linux", "container hosts"),
}
"""Program -> its package, and what needs it."""


class ContainerHosts:
    """The driver. ``Containers``, in the supervisor, keeps what runs."""

    takes_time: ClassVar[bool] = True
    own_terminals: ClassVar[bool] = True

    def __init__(self) -> None:
        self._kept: Containers | None = None
        self._serving: ServingRooms | None = None
        self._lock = threading.Lock()

    @property
    def _containers(self) -> Containers:
        from dataplane.hosts.container.running import Containers

        with self._lock:
            self._kept = self._kept or Containers()
            return self._kept

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """The device is the container's interface."""
        from dataplane.hosts.interface import configure

        configure(space, wire)

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        """Change the interface."""
        from dataplane.hosts.interface import reconfigure

        reconfigure(space, old, new)

    def needs_preparation(self, hosts: Sequence[Host]) -> bool:
        """Whether one has an image to unpack."""
        from dataplane.hosts.container.running import settings
        from topologies.model.hosts import MACHINE

        return any(settings(host).image != MACHINE for host in hosts)

    def prepare(self, hosts: Sequence[Host], say: Say) -> None:
        """Unpack the images that are OCI layouts. Raises HostError."""
        from dataplane.hosts.container.images import prepare
        from dataplane.hosts.container.running import settings

        for image in sorted({settings(host).image for host in hosts}):
            prepare(image, say)

    def lacks(self, hosts: Sequence[Host]) -> list[Lack]:
        """Programs, a kernel with overlays, and control groups where limits are required."""
        from dataplane import facts
        from dataplane.hosts.container.entrance import find
        from dataplane.hosts.container.running import settings
        from dataplane.hosts.limits import lacks as lacks_of_limits

        lacks = [
            Lack(f"{program} is not installed", needed, facts.install(package)("", facts.System()))
            for program, (package, needed) in NEEDED.items()
            if find(program) is None
        ]
        if "overlay" not in Path("/proc/filesystems").read_text().split():
            remedy = facts.remedy("module overlay")
            lacks.append(Lack("this kernel has no overlay file system", "container hosts", remedy))
        return lacks + lacks_of_limits((host.name, settings(host)) for host in hosts)

    def watch(self, hear: Hear) -> None:
        """Call ``hear`` when a container ends by itself, or meets a limit."""
        self._containers.hear = hear

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Begin to start the container. Raises OSError and HostError."""
        self._containers.start(host, place, space)

    def ready(self, place: Place, patience: float) -> None:
        """Wait until it has started. Raises HostError."""
        self._containers.ready(place, patience)

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """Whether it runs, its first process, its limits and what it uses of them."""
        return self._containers.state(place)

    def stop(self, place: Place, space: Namespace) -> None:
        """Kill the container's processes and remove its changes."""
        self._containers.stop(place)

    def seen_at(self, host: HostPlan) -> EndPlan:
        """The container's interface."""
        return host.near

    def door(self, place: Place) -> ContainerDoor:
        """The running container. Raises HostError."""
        from dataplane.hosts.container.entrance import files_of

        if files_of(place.netns).alive() is None:
            raise HostError(f"the container of host {place.name} does not run (see sdnlab logs, events)")
        return ContainerDoor(place)

    def mount_namespace(self, place: Place) -> int:
        """That of the container's first process. Raises HostError and OSError."""
        from dataplane.hosts.container.entrance import files_of

        first = files_of(place.netns).alive()
        if first is None:
            raise HostError(f"the container of host {place.name} does not run (see sdnlab logs, events)")
        return os.open(f"/proc/{first}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """``dataplane.hosts.container.execution`` as a program."""
        return [sys.executable, "-I", "-S", "-c", ENTER, str(ROOT), packed(place), *words]

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Start servers with the lab's own Python, in the container's network namespace: the container may
        have none. Raises OSError."""
        from dataplane.hosts.serving_rooms import ServingRooms

        with self._lock:
            self._serving = self._serving or ServingRooms()
        return self._serving.start(place, servers)


class ContainerDoor:
    """The entrance to a running container."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Let the runtime start the command, and wait for it. It gets a terminal of its own where the caller
        has one. Raises OSError."""
        from dataplane.hosts.container.execution import run

        code = run(self._place, command, environment, execute)
        sys.stderr.flush()
        os._exit(code)
