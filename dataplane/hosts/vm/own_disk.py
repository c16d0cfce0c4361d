"""The disk of one machine: an image that is only read, and a file for what the machine writes.

That file has no name (O_TMPFILE in open(2)), so it ends with the lab, also when the lab is killed.  The image
stays open, so the machine does not mind when its file is removed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

from dataplane.hosts.driver import HostError
from dataplane.hosts.guest import files
from dataplane.hosts.vm.command_line import Disk
from dataplane.images import disks, qcow2, seed
from dataplane.images.disks import DiskImage
from dataplane.images.qcow2 import BadDisk

FOLDER = "/var/tmp"
"""On a disk: /tmp is memory on many machines."""
CREATE_PATIENCE = 30.0
MERGE_PATIENCE = 600.0
"""Seconds for a copy of a whole disk."""
SPARE = 64 << 20
"""Bytes that must stay free where a disk is copied to."""
_PIECE = 1 << 22
_NO_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""copy_file_range(2) is not for these two files; reading and writing is."""


class OwnDisk:
    """A machine's disk, as descriptors that are open until ``close``."""

    def __init__(self, name: str) -> None:
        """``name``: of the image, as the topology has it. Raises ImageError, HostError."""
        self.image, self._base = disks.find(name)
        self._seed = -1
        try:
            self._changes = fresh_changes(self.image)
        except BaseException:
            os.close(self._base)
            raise

    @property
    def base(self) -> int:
        """The descriptor of the image."""
        return self._base

    @property
    def changes(self) -> int:
        """The descriptor of what the machine has written."""
        return self._changes.fileno()

    def tell(self, told: seed.Machine) -> None:
        """What cloud-init in the machine finds when it boots next, the agent beside it. Raises OSError."""
        shipped = {path: source.read_bytes() for path, source in files.shipped().items()}
        fresh = seed_disk(replace(told, agent=shipped, command=files.COMMAND))
        if self._seed >= 0:
            os.close(self._seed)
        self._seed = fresh

    def boot(self, changes: IO[bytes] | None = None) -> Disk:
        """What QEMU gets. ``changes``: other ones than those of the present machine."""
        seen = self._changes if changes is None else changes
        return Disk(self._base, seen.fileno(), self._seed if self._seed >= 0 else None)

    def take(self, changes: IO[bytes]) -> None:
        """The machine is another one from now on, which has written this."""
        self._changes.close()
        self._changes = changes

    def close(self) -> None:
        """Forget all that the machine wrote."""
        os.close(self._base)
        self._changes.close()
        if self._seed >= 0:
            os.close(self._seed)


def fresh_changes(image: DiskImage) -> IO[bytes]:
    """An empty qcow2 file for what a machine writes over an image. It does not name the image: QEMU gets both
    as descriptors. Raises HostError."""
    words = [disks.PROGRAM, "create", "-q", "-f", "qcow2"]
    file = nameless()
    try:
        words += [f"/proc/self/fd/{file.fileno()}", str(image.size)]
        _image_program(words, [file.fileno()], CREATE_PATIENCE)
        return file
    except BaseException:
        file.close()
        raise


def copied(changes: int) -> IO[bytes]:
    """A copy, without a name, of what a machine has written that stands still. Raises HostError."""
    needed = os.fstat(changes).st_blocks * 512 + SPARE
    free = shutil.disk_usage(FOLDER).free
    if free < needed:
        raise HostError(
            f"{free >> 20} MiB are free in {FOLDER}, and a copy of the machine's disk may need "
            f"{needed >> 20} MiB",
            "free space there, or remove snapshots: sdnlab snapshot delete VM NAME",
        )
    copy = nameless()
    try:
        size = os.fstat(changes).st_size
        os.ftruncate(copy.fileno(), size)
        at = 0
        while at < size:
            try:
                at = os.lseek(changes, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # a hole up to the end
                    break
                raise
            end = os.lseek(changes, at, os.SEEK_HOLE)
            while at < end:
                at += _copy(changes, copy.fileno(), at, end - at)
    except OSError as error:
        copy.close()
        raise HostError(
            f"the machine's disk was not copied: {error.strerror}", f"is {FOLDER} full?"
        ) from None
    return copy


def merged(base: int, changes: int) -> IO[bytes]:
    """A disk without a name that has what is in both: ``changes`` over ``base``. Raises HostError.

    QEMU could have written a header that names other files of this machine: such changes are refused.
    """
    try:
        header = qcow2.header(os.pread(changes, qcow2.LENGTH, 0))
        qcow2.check(header, "the machine's disk")
    except BadDisk as error:
        raise HostError(f"the machine's disk can't be read: {error.what}") from None
    needed = os.fstat(base).st_blocks * 512 + os.fstat(changes).st_blocks * 512 + SPARE
    free = shutil.disk_usage(FOLDER).free
    if free < needed:
        raise HostError(
            f"{free >> 20} MiB are free in {FOLDER}, and the machine's disk may need {needed >> 20} MiB",
            "free space there",
        )
    both = {**_opened(changes), "backing": {**_opened(base), "backing": None}}
    target = nameless()
    try:
        words = [disks.PROGRAM, "convert", "-q", "-O", "qcow2", f"json:{json.dumps(both)}"]
        _image_program(
            [*words, f"/proc/self/fd/{target.fileno()}"], [base, changes, target.fileno()], MERGE_PATIENCE
        )
    except BaseException:
        target.close()
        raise
    return target


def _opened(descriptor: int) -> dict[str, Any]:
    """A block node for an open file in the format qcow2. Another QEMU may have it, too."""
    file = {"driver": "file", "filename": f"/proc/self/fd/{descriptor}", "locking": "off"}
    return {"driver": "qcow2", "file": file}


def _image_program(words: Sequence[str], descriptors: Sequence[int], patience: float) -> None:
    """Run ``qemu-img``. Raises HostError."""
    try:
        done = subprocess.run(
            words,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience,
        )
    except FileNotFoundError:
        raise HostError(f"{disks.PROGRAM} is not installed", disks.INSTALL) from None
    except subprocess.TimeoutExpired:
        raise HostError(f"{disks.PROGRAM} has made no disk in {FOLDER} for {patience:.0f} s") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or "it failed").splitlines()
        raise HostError(f"{disks.PROGRAM}: {lines[-1]}", f"is {FOLDER} full?")


def _copy(source: int, target: int, at: int, count: int) -> int:
    """Copy some octets of those that are at a place in both files; how many. Raises OSError."""
    try:
        if done := os.copy_file_range(source, target, count, at, at):
            return done
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
    data = os.pread(source, min(count, _PIECE), at)
    if not data:
        raise OSError(errno.EIO, "it has become shorter")
    return os.pwrite(target, data, at)


def nameless() -> IO[bytes]:
    """An empty file without a name on a disk. Raises HostError."""
    try:
        return tempfile.TemporaryFile(dir=FOLDER, prefix="sdnlab-", buffering=0)
    except OSError as error:
        raise HostError(f"no file can be made in {FOLDER}: {error.strerror}") from None


def seed_disk(told: seed.Machine) -> int:
    """A descriptor, for reading, of the disk that tells cloud-init what the machine is. Raises OSError."""
    written = os.memfd_create("seed", os.MFD_CLOEXEC)
    with contextlib.closing(os.fdopen(written, "wb")) as file:
        file.write(seed.disk(told))
        file.flush()
        # QEMU takes a descriptor only with the access that it asks for
        return os.open(f"/proc/self/fd/{written}", os.O_RDONLY | os.O_CLOEXEC)
