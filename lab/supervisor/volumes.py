"""What users do with the volumes of a lab's storage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from dataplane.storage.answers import VolumeInfo
from dataplane.storage.error import StorageError
from lab.failure import Failure, unknown

if TYPE_CHECKING:
    from dataplane.storage.storage import LiveStorage


class Volumes:
    """What the API does with volumes; its errors are Failures. ``storage``: None: the lab has none."""

    def __init__(self, storage: LiveStorage | None) -> None:
        self._storage = storage
        self._lock = threading.Lock()

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

    def _do(self, name: str, action: Callable[[LiveStorage], None]) -> None:
        known = self._storage.names() if self._storage is not None else []
        if self._storage is None or name not in known:
            raise unknown("volume", name, known, where=" that a host uses")
        with self._lock:
            try:
                action(self._storage)
            except StorageError as error:
                raise Failure(error.what, error.remedy or "see: sdnlab events") from None
