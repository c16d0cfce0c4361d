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
from topologies.model.choices import ROUTER

if TYPE_CHECKING:
    from dataplane.hosts.limits import HostLimits, Limited
    from dataplane.hosts.serving_rooms import ServingRooms
    from dataplane.plan.pieces import EndPlan, HostPlan, WirePlan
    from dataplane.sandbox.namespaces import Namespace
    from topologies.model.hosts import Host, Resources

ROOT = Path(__file__).resolve().parents[2]
ENTER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.hosts.room import main; main()"


class NamespaceHosts:
    """The driver. The first command in a host makes its room; before, nothing runs there."""

    takes_time: ClassVar[bool] = False

    def __init__(self) -> None:
        self._serving: ServingRooms | None = None
        self._lock = threading.Lock()
        self._hear: Hear = lambda host, kind, text: None
        self._limits: HostLimits | None = None
        self._limited: dict[str, Limited] = {}  # by namespace

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
        """Places for files that a room can't have of its own; control groups where limits are required."""
        lacking = self._lacks_places(hosts)
        if limited := [(host.name, part) for host in hosts if (part := _resources(host)) is not None]:
            from dataplane.hosts import limits

            lacking += limits.lacks(limited)
        if any(host.kind == ROUTER for host in hosts):
            from dataplane.hosts import frr

            lacking += frr.lacks(hosts)
        return lacking

    def _lacks_places(self, hosts: Sequence[Host]) -> list[Lack]:
        if not any(host.own.files or host.own.private for host in hosts):
            return []
        from dataplane.hosts import own_mounts, own_tree

        return [
            Lack(f"{path} can't be a host's own: {why}", host.name, "choose another place for it")
            for host in hosts
            for path, why in own_mounts.arrangement(own_tree.tree_of(host.own), rooms.rooms_own()).impossible
        ]

    def watch(self, hear: Hear) -> None:
        """Call ``hear`` when a host meets a limit."""
        self._hear = hear

    def start(self, host: HostPlan, place: Place, space: Namespace) -> None:
        """Note what its room must know. Nothing runs: the kernel's IP stack answers for the host.

        Raises HostError when its limits are required, and can't be enforced.
        """
        from dataplane.hosts import own_tree

        if (resources := _resources(host.host)) is not None:
            limited = self._limits_of_all().begin(place.name, place.netns, resources)
            self._limited[place.netns] = limited
            rooms.note_groups(place.netns, limited.joined())
        tree = own_tree.tree_of(host.host.own)
        if host.kind == ROUTER:
            from dataplane.hosts import frr

            tree = frr.with_settings(host.host, tree)
        if tree:
            own_tree.write(tree, Path(place.folder))

    def ready(self, place: Place, patience: float) -> None:
        """It is ready as soon as its namespace exists."""

    def state(self, place: Place) -> dict[str, str | int | float | bool]:
        """What it uses of what is limited."""
        limited = self._limited.get(place.netns)
        return limited.state() if limited is not None else {}

    def stop(self, place: Place, space: Namespace) -> None:
        """Forget what its room must know. Processes in the host end with its namespace, or its limits."""
        from dataplane.hosts import own_tree

        if (limited := self._limited.pop(place.netns, None)) is not None:
            self._limits_of_all().end(limited)
            rooms.note_groups(place.netns, ())
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
            raise HostError(str(error), error.remedy) from None
        return RoomDoor(room, place)

    def mount_namespace(self, place: Place) -> int:
        """That of the host's room. Raises HostError."""
        try:
            return rooms.find(place).mount
        except rooms.RoomError as error:
            raise HostError(str(error), error.remedy) from None

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        """``dataplane.hosts.room`` as a program."""
        return [sys.executable, "-c", ENTER, str(ROOT), packed(place), *words]

    def daemon(self, place: Place, words: Sequence[str]) -> list[str]:
        """The same, for a daemon."""
        return [sys.executable, "-c", ENTER, str(ROOT), rooms.DAEMON, packed(place), *words]

    def serve(self, place: Place, servers: Sequence[str]) -> Running:
        """Start servers in the host's room. Raises OSError."""
        from dataplane.hosts.serving_rooms import ServingRooms

        with self._lock:
            self._serving = self._serving or ServingRooms()
        return self._serving.start(place, servers)

    def _limits_of_all(self) -> HostLimits:
        from dataplane.hosts.limits import HostLimits

        with self._lock:
            self._limits = self._limits or HostLimits(lambda host, text: self._hear(host, "limit", text))
            return self._limits


def _resources(host: Host) -> Resources | None:
    """What limits the host; None, and nothing is imported: nothing."""
    if host.part is None:
        return None
    from topologies.model.hosts import NamespaceHost

    return host.resources if isinstance(host, NamespaceHost) else None


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
