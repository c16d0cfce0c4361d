"""What an image is to those who start a machine from it."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """An image in the cache. Its files never change: another content is another folder.

    ``kernel`` and ``initrd``: for QEMU's ``-kernel`` and ``-initrd``. ``arguments``: the kernel's command
    line. ``sha256``: a digest of all these, in hex. ``python``: the guest's interpreter, such as python3.11.
    ``packages``: name and version of each. ``built``: when, as ISO 8601 in UTC. ``disk``: what its machine
    boots from instead of kernel and initrd, which there are not then.
    """

    name: str
    folder: Path
    kernel: Path
    initrd: Path
    arguments: str
    sha256: str
    python: str
    distribution: str
    packages: tuple[tuple[str, str], ...]
    built: str
    disk: Path | None = None

    def size(self) -> int:
        """Bytes of kernel and initial file system, or of the disk."""
        if self.disk is not None:
            return self.disk.stat().st_size
        return self.kernel.stat().st_size + self.initrd.stat().st_size

    def hold(self) -> int:
        """Keep the image's files as long as the returned descriptor, or a copy in a child, is open.

        A newer image takes the place of this one for others meanwhile. Raises OSError when it is gone.
        """
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd
