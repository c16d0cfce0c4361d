"""Hosts that are network namespaces (``kind: namespace``), each with a sandbox (room) for its commands."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from dataplane.hosts import room as rooms
from dataplane.hosts.driver import Execute, Hear, HostError, Lack, Place, Running, Say, packed
from linux import syscalls

if TYPE_CHECKING:
    from dataplane.hosts.serving_rooms import ServingRooms
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
ENTER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.room import main; main()"


class NamespaceHosts:
    """The driver. The first command in a host makes its room; before, nothing runs there."""

    takes_time: ClassVar[bool] = False

    def __init__(self) -> None:
        self._serving: ServingRooms | None = None
        self._lock = threading.Lock()

    def wire_in(self, host: HostPlan, space: Namespace, wire: WirePlan) -> None:
        """The device is the host's interface."""
        from dataplane.hosts.interface import configure

        configure(space, wire)

    def rewire(self, host: HostPlan, space: Namespace, old: WirePlan, new: WirePlan) -> None:
        """Change the interface."""
        from dataplane.hosts.interface import reconfigure

        reconfigure(space, old, new)

    def needs_preparation(self, hosts: Sequence[Host]) -> bool:
        """Nothing must be prepared."""
        return False

    def prepare(self, hosts: Sequence[Host], say: Say) -> None:
        """Prepare nothing."""

    def lacks(self, hosts: Sequence[Host]) -> list[Lack]:
        """Places for files that a room can't have of its own."""
        if not any(host.own.files or host.own.private for host in hosts):
            return []
        from dataplane.hosts import own_mounts, own_tree

        return [
            Lack(f"{path} can't be a host's own: {why}", host.name, "choose another place for it")
            for host in hosts
            for path, why in own_mounts.arrangement(own_tree.tree_of(host.own), rooms.rooms_own()).impossible
        ]

    def watch(self, hear: Hear) -> None:
        """Nothing happens by itself."""

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Note what its room must know. Nothing runs: the kernel's IP stack answers for the host."""
        from dataplane.hosts import own_tree

        if tree := own_tree.tree_of(host.host.own):
            own_tree.write(tree, Path(place.folder))

    def ready(self, place: Place, patience: float) -> None:
        """It is ready as soon as its namespace exists."""

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """Nothing beside its kind."""
        return {}

    def stop(self, place: Place, space: Namespace) -> None:
        """Forget what its room must know. Processes in the host end with its namespace."""
        from dataplane.hosts import own_tree

        Path(place.folder, own_tree.FILE).unlink(missing_ok=True)

    def seen_at(self, host: HostPlan) -> EndPlan:
        """The host's interface."""
        return host.near

    def door(self, place: Place) -> RoomDoor:
        """The host's room; the caller's next children are in its PID namespace. Raises HostError."""
        try:
            room = rooms.find(place)
            syscalls.setns(room.pid, syscalls.CLONE_NEWPID)
        except rooms.RoomError as error:
            raise HostError(str(error)) from None
        return RoomDoor(room, place)

    def mount_namespace(self, place: Place) -> int:
        """That of the host's room. Raises HostError."""
        try:
            return rooms.find(place).mount
        except rooms.RoomError as error:
            raise HostError(str(error)) from None

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """``dataplane.hosts.room`` as a program."""
        return [sys.executable, "-c", ENTER, str(ROOT), packed(place), *words]

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Start servers in the host's room. Raises OSError."""
        from dataplane.hosts.serving_rooms import ServingRooms

        with self._lock:
            self._serving = self._serving or ServingRooms()
        return self._serving.start(place, servers)


class RoomDoor:
    """The entrance to a host's room."""

    def __init__(self, room: rooms.Room, place: Place) -> None:
        self._room, self._place = room, place

    def run(self, command: Sequence[str], environment: Mapping[str, str], execute: Execute) -> NoReturn:
        """Enter the room and execute the command. Raises OSError."""
        unseen = rooms.enter(self._room)
        syscalls.hang_up_with_parent()  # a change of user has cleared it
        if unseen is not None:
            name = self._room.name
            sys.stderr.write(f"sdnlab: {unseen} is not for {name} to read; it starts in its own /root\n")
            sys.stderr.flush()
        execute(command, rooms.surroundings(environment, self._place))
