"""Hosts that are containers (``kind: container``): runc runs them in the host's namespaces."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from dataplane.hosts.driver import Execute, Hear, HostError, Lack, Place, Running, Say, packed, unpacked
from linux import syscalls

if TYPE_CHECKING:
    from dataplane.hosts.container.running import Containers
    from dataplane.hosts.serving_rooms import ServingRooms
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host

ROOT = Path(__file__).resolve().parents[3]
ENTER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from dataplane.hosts.container.driver import main; main()"
)
CARRIED = ("TERM", "COLORTERM", "SDNLAB", "SDNLAB_PLACE")
"""The caller's variables that a command in a container gets, beside those of the container."""
NOT_FOUND = 127
NEEDED = {
    "runc": ("runc", "container hosts (the runtime)"),
    "catatonit": ("catatonit", "container hosts (their first process)"),
    "nsenter": ("util-linux", "container hosts"),
}
"""Program -> its package, and what needs it."""


class ContainerHosts:
    """The driver. ``Containers``, in the supervisor, keeps what runs."""

    takes_time: ClassVar[bool] = True

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
        """Programs, and a kernel with overlays."""
        from dataplane.hosts.container.entrance import find

        lacks = [
            Lack(f"{program} is not installed", needed, f"install it: sudo apt-get install {package}")
            for program, (package, needed) in NEEDED.items()
            if find(program) is None
        ]
        if "overlay" not in Path("/proc/filesystems").read_text().split():
            remedy = "sudo modprobe overlay"
            lacks.append(Lack("this kernel has no overlay file system", "container hosts", remedy))
        return lacks

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
        from dataplane.hosts.container.entrance import files_of, find

        files = files_of(place.netns)
        runc = find("runc")
        if runc is None or files.alive() is None:
            raise HostError(f"the container of host {place.name} does not run (see sdnlab logs, events)")
        return ContainerDoor(place, runc)

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """This module as a program."""
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

    def __init__(self, place: Place, runc: str) -> None:
        self._place, self._runc = place, runc

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Execute the command by the runtime. It gets a terminal of its own where the caller has one. Raises
        OSError."""
        more = {name: environment[name] for name in CARRIED if name in environment}
        more |= dict(self._place.environment)  # as changed since the container has started
        words, own = enter(self._place.netns, self._runc, command, more, os.isatty(0) and os.isatty(1))
        if not has_program(self._place.netns, command[0]):
            sys.stderr.write(
                f"sdnlab: {command[0]}: no such command in the container of {self._place.name}\n"
            )
            sys.stderr.flush()
            os._exit(NOT_FOUND)
        syscalls.hang_up_with_parent()  # a change of user has cleared it
        execute(words, own)


def enter(
    netns: str, runc: str, words: Sequence[str], more: Mapping[str, str], terminal: bool
) -> tuple[list[str], dict[str, str]]:
    """Put the calling process where the runtime may run; the runtime's arguments and environment that run
    ``words`` in the container. Raises OSError."""
    from dataplane.hosts.container.entrance import become_hosts_root, exec_in, files_of

    files = files_of(netns)
    become_hosts_root(files)
    os.chdir("/")
    return exec_in(files, runc, words, dict(more), terminal), {"PATH": os.environ.get("PATH", os.defpath)}


def has_program(netns: str, program: str) -> bool:
    """Whether the container has ``program``. The caller is the hosts' root. Raises OSError."""
    from dataplane.hosts.container.entrance import files_of

    files = files_of(netns)
    process = json.loads((files.bundle / "config.json").read_text())["process"]
    path = next((word[5:] for word in process["env"] if word.startswith("PATH=")), os.defpath)
    first = files.alive()
    child = os.fork()
    if child == 0:
        found = True
        try:
            mounts = os.open(f"/proc/{first}/ns/mnt", os.O_RDONLY)
            syscalls.setns(mounts, syscalls.CLONE_NEWNS)
            os.chdir(process["cwd"])
            # The runtime says better than we do what is wrong with a file that is there.
            found = any(
                Path(folder, program).is_file() and not _unusable(Path(folder, program))
                for folder in (["/"] if "/" in program else path.split(":"))
            ) or ("/" in program and Path(program).exists())
        finally:
            os._exit(0 if found else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _unusable(path: Path) -> bool:
    return not path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def main() -> NoReturn:
    """Run a command in a container. Arguments: ``PLACE COMMAND...``, a place as in ``packed``."""
    text, *command = sys.argv[1:]
    place = unpacked(text)
    from dataplane.hosts.container.entrance import find

    runc = find("runc")
    try:
        if runc is None:
            raise FileNotFoundError("runc is not installed")
        more = {key: os.environ[key] for key in CARRIED if key in os.environ} | dict(place.environment)
        words, environment = enter(place.netns, runc, command, more, False)
        if has_program(place.netns, command[0]):
            os.execve(words[0], words, environment)
        os.write(2, f"{command[0]}: not found in the container of {place.name}\n".encode())
    except (OSError, ValueError) as error:
        os.write(2, f"can't enter host {place.name}: {error}\n".encode())
    os._exit(NOT_FOUND)
