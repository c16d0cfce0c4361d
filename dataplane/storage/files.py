"""The files of copies on the machine's disk, and the records beside kept ones."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path

from dataplane.storage.error import StorageError
from dataplane.storage.records import Record, read

PLACES = ("/var/tmp", "/tmp")
"""Where files that end with the lab are, without a name: the first that works. The lab's run directory would
be in memory."""


class CopyFile:
    """The file of one copy at one storage host; open as long as the lab runs.

    ``folder``: where it is kept; None: it has no name, and ends with the lab.
    """

    def __init__(self, volume: str, host: str, folder: Path | None) -> None:
        """Open it, or make it. Raises StorageError."""
        self._record = None if folder is None else folder / f"{volume}.{host}.json"
        self._remembered: Record | None = None
        try:
            if folder is None:
                self.fd = _nameless()
                return
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{volume}.{host}.img"
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"{folder}: another lab uses volume {volume}", "see: sdnlab list") from None
        except OSError as error:
            raise StorageError(
                f"the file of {volume} at {host} can't be opened: {error}",
                "see its owner and mode",
            ) from None

    @property
    def path(self) -> str:
        """The path of the file for a process that has inherited the descriptor."""
        return f"/proc/self/fd/{self.fd}"

    @property
    def length(self) -> int:
        """Its length in bytes."""
        return os.fstat(self.fd).st_size

    def record(self) -> Record | None:
        """Its record; None if it has none, or the file is shorter than it says.

        The file is longer if the lab was killed after ``stretch``.
        """
        known = self._remembered
        if self._record is not None:
            try:
                known = read(self._record.read_text())
            except OSError:
                return None
        return known if known is not None and known.size <= self.length else None

    def has_data(self) -> bool:
        """Whether something may have been written to it."""
        try:
            os.lseek(self.fd, 0, os.SEEK_DATA)
        except OSError as error:
            return error.errno != errno.ENXIO  # the file is one hole
        return True

    @property
    def named(self) -> str:
        """Its path in the folder where it is kept; empty: it is not kept."""
        return str(self._record.with_suffix(".img")) if self._record is not None else ""

    def note(self, generation: int, used: bool) -> None:
        """Write its record, so that it survives a loss of power; that of a file without a name is only
        remembered. Raises OSError."""
        if self._record is None:
            self._remembered = Record(generation, used, self.length)
            return
        new = self._record.with_suffix(".new")
        with new.open("w") as file:
            file.write(Record(generation, used, self.length).text())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._record)

    def empty(self, length: int) -> None:
        """Make it a file of zeros. Its record is removed before. Raises OSError."""
        self._remembered = None
        if self._record is not None:
            self._record.unlink(missing_ok=True)
        os.ftruncate(self.fd, 0)
        os.ftruncate(self.fd, length)

    def stretch(self, length: int) -> None:
        """Make it at least ``length`` bytes long; its record, if it has one, must be written again. Raises
        OSError."""
        if self.length < length:
            os.ftruncate(self.fd, length)

    def occupied(self) -> int:
        """The bytes that it occupies on the machine's disk."""
        return os.fstat(self.fd).st_blocks * 512

    def discard(self) -> None:
        """Close it for good; a file without a name takes no room then, also if a server has it open."""
        if self._record is None:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, 0)
        self.close()

    def close(self) -> None:
        """Close it; a file without a name is gone then."""
        os.close(self.fd)


def _nameless() -> int:
    for place in PLACES:
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=place) as file:
            return os.dup(file.fileno())
    raise OSError("no directory takes temporary files: " + ", ".join(PLACES))
