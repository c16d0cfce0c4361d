"""Disk images of the user's, from which virtual machines boot: found, checked, and only read."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dataplane import facts
from dataplane.images import qcow2
from dataplane.images.errors import ImageError
from dataplane.images.exported import is_path
from dataplane.images.qcow2 import BadDisk
from dataplane.images.recipe import Say

PROGRAM = "qemu-img"
INSTALL = facts.remedy("qemu-img")
CHECK_PATIENCE = 120.0
"""Seconds for the check of an image: it reads all tables, which is little, from a slow disk."""
CHECK_MEMORY = 2 << 30
"""Bytes of addresses that the check may have: a damaged file may claim tables of any size."""
_DAMAGED, _LEAKED = 2, 3
"""Exit codes of ``qemu-img check``; lost space does no harm."""


@dataclass(frozen=True)
class DiskImage:
    """A disk in the format qcow2. ``name``: as the topology has it. ``size``: bytes that a machine sees."""

    name: str
    path: Path
    size: int


def is_disk(name: str) -> bool:
    """Whether an image of a topology is the path of a file that begins as a qcow2 disk does."""
    if not is_path(name):
        return False
    try:
        fd = _opened(name)
    except (OSError, ImageError):
        return False
    try:
        return os.pread(fd, len(qcow2.MAGIC), 0) == qcow2.MAGIC
    finally:
        os.close(fd)


def find(name: str) -> tuple[DiskImage, int]:
    """The image, and a descriptor that reads its file, also when that is removed. Raises ImageError."""
    try:
        fd = _opened(name)
    except OSError as error:
        raise ImageError(f"{name}: {error.strerror}") from None
    try:
        header = qcow2.header(os.pread(fd, qcow2.LENGTH, 0))
        qcow2.check(header, name)
        return DiskImage(name, Path(name), header.size), fd
    except BadDisk as error:
        os.close(fd)
        raise ImageError(f"{name}: {error.what}", error.remedy) from None
    except BaseException:
        os.close(fd)
        raise


def ensure(name: str, say: Say) -> DiskImage:
    """The image, if all its tables are right, and everything that they name is in the file. Raises
    ImageError."""
    image, fd = find(name)
    say(f"checking {name}")
    try:
        _check(name, fd)
    finally:
        os.close(fd)
    return image


def _opened(name: str) -> int:
    """A descriptor of a regular file: a pipe would have no end. Raises OSError, ImageError."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ImageError(f"{name} is no regular file")
    return fd


def _check(name: str, fd: int) -> None:
    """Let QEMU check the file. It names no other file: ``find`` has refused that."""
    words = [PROGRAM, "check", "-q", "-f", "qcow2", f"/proc/self/fd/{fd}"]
    try:
        done = subprocess.run(
            words,
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CHECK_PATIENCE,
            preexec_fn=_bounded,
        )
    except FileNotFoundError:
        raise ImageError(f"{PROGRAM} is not installed", INSTALL) from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{name}: the check has not ended within {CHECK_PATIENCE:.0f} s") from None
    if done.returncode in (0, _LEAKED):
        return
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    why = (lines or [f"{PROGRAM} ended with {done.returncode}"])[0].replace(f"/proc/self/fd/{fd}", name)
    what = "it is damaged, or a part of it is missing" if done.returncode == _DAMAGED else "it can't be read"
    raise ImageError(f"{name}: {what}: {why[:200]}", "get the file again; end what writes to it")


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (CHECK_MEMORY, CHECK_MEMORY))
    seconds = int(CHECK_PATIENCE)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
