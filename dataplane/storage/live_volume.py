"""A volume that a host uses: its copies' files, its assembler and its disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dataplane.sandbox.namespaces import run_in, write_settings
from dataplane.storage import plan
from dataplane.storage.copies import Copies, Tell
from dataplane.storage.disk import Disk
from dataplane.storage.error import StorageError
from dataplane.storage.files import CopyFile
from topologies.model.storage import Volume


class LiveVolume:
    """``files``: storage host -> the file of its copy. ``netns``: returns a descriptor of the adapter's
    network namespace. ``trouble``: why it is not there; empty: it is."""

    def __init__(
        self,
        volume: Volume,
        files: Mapping[str, CopyFile],
        copies: Copies,
        disk: Disk,
        netns: Callable[[], int],
        tell: Tell,
    ) -> None:
        self.volume, self.files, self.copies, self.disk = volume, files, copies, disk
        self.trouble = ""
        self._netns, self._tell = netns, tell

    def begin(self) -> str:
        """Start it, and give it to its host. Returns a text if that does not work."""
        try:
            run_in(self._netns(), lambda: write_settings(plan.SETTINGS))
            text = self.disk.start(self.copies.start())
            self.copies.watch()
        except (StorageError, KeyError, OSError) as error:
            remedy = error.remedy if isinstance(error, StorageError) else ""
            return self.failed(str(error), remedy)
        return text

    def failed(self, why: str, remedy: str = "") -> str:
        """It is not there. Returns a text about it."""
        self.trouble = why
        text = f"volume {self.volume.name} is not there: {why}" + (f"; {remedy}" if remedy else "")
        self._tell(text, {"volume": self.volume.name, "state": "gone"})
        return text

    def close(self) -> None:
        """Write everything out, and end its processes."""
        self.copies.close(self.disk.close())

    def end(self) -> None:
        """Close it while its servers go on."""
        self.close()
        self.copies.withdraw()
