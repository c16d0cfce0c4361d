"""The templates of a lab: each is made or read once, and then serves all machines that fit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dataplane.hosts.vm import template
from dataplane.hosts.vm.command_line import granted
from dataplane.hosts.vm.template import Damaged, Template
from dataplane.images import snapshots
from dataplane.images.errors import ImageError
from dataplane.images.image import Image
from dataplane.images.snapshots import SnapshotKey

Say = Callable[[str], None]


class Templates:
    """Templates by image and key. ``say`` gets a line for the log about one that can't be used or kept."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._open: dict[str, Template] = {}

    @contextmanager
    def only(self, image: Image, key: SnapshotKey) -> Iterator[None]:
        """Be the only one who reads or makes this template: who comes meanwhile waits, and finds it."""
        with self._lock:
            lock = self._locks.setdefault(_name(image, key), threading.Lock())
        with lock:
            yield

    def find(self, image: Image, key: SnapshotKey) -> Template | None:
        """The template, read from the cache if it is not open yet. A damaged one is removed."""
        name = _name(image, key)
        if (known := self._open.get(name)) is not None:
            return known
        kept = snapshots.snapshot(image, key)
        if kept is None:
            return None
        try:
            self._open[name] = template.read(kept.path, granted(key.memory, key.accelerator))
        except (OSError, Damaged) as error:
            self._say(f"the snapshot {kept.path} can't be used ({error}): it is removed, the machine boots")
            self.forget(image, key)
            return None
        return self._open[name]

    def keep(self, image: Image, key: SnapshotKey, memory: int, state: int) -> None:
        """Make a template of a machine's memory and state, for this lab at once, and for later ones in the
        cache. The descriptors stay the caller's; the machine may go on."""
        fresh = template.copy(memory, state)
        self._open[_name(image, key)] = fresh
        threading.Thread(target=self._write, args=(image, key, fresh), name="snapshot", daemon=True).start()

    def forget(self, image: Image, key: SnapshotKey) -> None:
        """Remove a template from which machines don't start."""
        old = self._open.pop(_name(image, key), None)
        if old is not None:
            os.close(old.memory)
        snapshots.forget(image, key)

    def _write(self, image: Image, key: SnapshotKey, fresh: Template) -> None:
        try:
            draft = snapshots.draft(image, key)
            try:
                template.write(draft, fresh)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            snapshots.adopt_snapshot(image, key, draft)
        except (OSError, ImageError) as error:
            self._say(f"the snapshot can't be kept ({error}): the next lab's machines boot")


def _name(image: Image, key: SnapshotKey) -> str:
    return f"{image.sha256}/{key.digest()}"
