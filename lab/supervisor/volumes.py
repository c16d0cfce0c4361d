"""What users do with the volumes of a lab's storage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from dataplane.plan.volumes import volume_change
from dataplane.storage.answers import VolumeInfo
from dataplane.storage.error import StorageError
from lab.failure import Failure, unknown
from lab.supervisor.hosts import refuse

if TYPE_CHECKING:
    from dataplane.storage.storage import LiveStorage
    from topologies.model.topology import Topology


class Changing:
    """A change of the lab's volumes, in the order of its methods; ``undo`` comes after ``release``, if the
    change fails."""

    def __init__(self, storage: LiveStorage | None, old: Topology, new: Topology) -> None:
        self._storage, self._new = storage, new
        self._change = volume_change(old, new)

    def release(self) -> None:
        """Let the hosts use no more what they will not have. Raises Failure if they use it; then nothing has
        changed."""
        if self._storage is not None:
            try:
                self._storage.release(self._change.ended)
            except StorageError as error:
                raise Failure(
                    f"{error.what}; the lab is unchanged", error.remedy or "see: sdnlab events"
                ) from None

    def undo(self) -> list[str]:
        """Let the hosts use it again. Returns texts about what they don't get."""
        return self._storage.resume(self._change.ended) if self._storage is not None else []

    def end(self) -> None:
        """End what was released; its hosts and adapters are there still."""
        if self._storage is not None:
            self._storage.end(self._change)

    def begin(self) -> list[str]:
        """Let the hosts use what is new; they are there. Returns texts about what they don't get."""
        if self._storage is None or self._change.nothing:
            return []
        return self._storage.become(self._new, self._change)


class Volumes:
    """What the API does with volumes; its errors are Failures. ``storage``: None: the lab has none.

    ``lock``: that of changes of the lab.
    """

    def __init__(self, storage: LiveStorage | None, lock: threading.Lock) -> None:
        self._storage, self._lock = storage, lock

    def states(self, used: bool = False) -> list[VolumeInfo]:
        """All volumes; ``used``: with the bytes that are used of each."""
        return self._storage.states(used) if self._storage is not None else []

    def troubles(self) -> list[str]:
        """Texts about present problems."""
        return self._storage.troubles() if self._storage is not None else []

    def grow(self, name: str, size: int) -> None:
        """Make a volume larger. Raises Failure."""
        self._do(name, lambda storage: storage.grow(name, size))

    def snapshot(self, name: str, action: str, snapshot: str) -> None:
        """``save``, ``restore`` or ``delete`` a snapshot. Raises Failure."""
        self._do(name, lambda storage: storage.snapshot(name, action, snapshot))

    def machine_must_have(self, topology: Topology) -> None:
        """Raise Failure when this machine lacks what the volumes of a changed lab need."""
        if self._storage is not None:
            refuse(self._storage.lacks(topology.storage))

    def changing(self, old: Topology, new: Topology) -> Changing:
        """A change of the lab, as far as it is about volumes."""
        return Changing(self._storage, old, new)

    def _do(self, name: str, action: Callable[[LiveStorage], None]) -> None:
        known = self._storage.names() if self._storage is not None else []
        if self._storage is None or name not in known:
            raise unknown("volume", name, known, where=" that a host uses")
        with self._lock:
            try:
                action(self._storage)
            except StorageError as error:
                raise Failure(error.what, error.remedy or "see: sdnlab events") from None
