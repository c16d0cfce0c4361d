"""Finds, mounts and frees a volume in a virtual machine: a program that the lab runs there (``python3 -c``).

It uses the standard library only. The disk is that whose serial number is the volume's name; it comes while
the machine runs.  A link ``/dev/volume/NAME`` leads to it. Arguments: what to do (one of ``ACTIONS``), the
name, the directory (empty: it is not mounted), all of one volume.  The answer is a line of JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = "/sys/block"
LINKS = "/dev/volume"
MOUNTS = "/proc/self/mounts"
PATIENCE = 15.0
"""Seconds until the kernel must have found a new disk."""
SECTOR = 512
"""The unit of /sys/block/DISK/size, in bytes."""
EXT4_IOC_RESIZE_FS = 0x40086610
"""Grow a mounted file system to so many blocks (kernel, Documentation/admin-guide/ext4.rst)."""
FLAGS = "nosuid,nodev"


class Failed(Exception):
    """It can't be done; the message says why."""


def disk(name: str, block: str = BLOCK) -> str:
    """The name of the disk, such as ``vdb``; empty: it is not there."""
    for entry in sorted(os.listdir(block)):
        try:
            with open(f"{block}/{entry}/serial", encoding="utf-8") as serial:
                if serial.read().strip() == name:
                    return entry
        except OSError:
            continue
    return ""


def source_of(path: str, table: str) -> str:
    """What is mounted at a directory, by the text of /proc/self/mounts; empty: nothing. The last counts."""
    rows = [line.split(" ") for line in table.splitlines()]
    sources = [row[0] for row in rows if len(row) > 1 and _plain(row[1]) == path]
    return _plain(sources[-1]) if sources else ""


def _plain(field: str) -> str:
    """A field of /proc/self/mounts, where some characters stand as ``\\040``."""
    pieces = field.split("\\")
    return pieces[0] + "".join(chr(int(piece[:3], 8)) + piece[3:] for piece in pieces[1:])


def _mounted(path: str) -> str:
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as table:
        return source_of(path, table.read())


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Failed(lines[-1] if lines else f"{words[0]}: exit code {done.returncode}")


def take(name: str, path: str) -> dict[str, object]:
    """Wait for the disk, link it, and mount it. It may be mounted already, and may have grown."""
    deadline = time.monotonic() + PATIENCE
    while not (entry := disk(name)):
        if time.monotonic() > deadline:
            raise Failed(f"its kernel has found no disk {name} within {PATIENCE:.0f} s")
        time.sleep(0.05)
    device = f"/dev/{entry}"
    _link(name, device)
    if path:
        source = _mounted(path)
        if source and source != device:
            _run("umount", "-l", path)  # of a disk that is gone
            source = ""
        if not source:
            os.makedirs(path, exist_ok=True)
            _run("mount", "-t", "ext4", "-o", FLAGS, device, path)
        _grow(path, entry)
    return {"device": device}


def _link(name: str, device: str) -> None:
    os.makedirs(LINKS, exist_ok=True)
    _unlink(name)
    os.symlink(device, f"{LINKS}/{name}")


def _grow(path: str, entry: str) -> None:
    """Make a mounted file system as large as its disk. As large as it is already: nothing happens."""
    with open(f"{BLOCK}/{entry}/size", encoding="utf-8") as size:
        octets = int(size.read()) * SECTOR
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        blocks = octets // os.fstatvfs(folder).f_frsize
        fcntl.ioctl(folder, EXT4_IOC_RESIZE_FS, struct.pack("Q", blocks))
    except OSError as error:
        raise Failed(f"the file system at {path} can't grow: {error.strerror}") from None
    finally:
        os.close(folder)


def free(name: str, path: str) -> dict[str, object]:
    """Unmount it; a disk that is not mounted by the lab must not be in use."""
    entry = disk(name)
    if path and _mounted(path):
        try:
            _run("umount", path)
        except Failed as error:
            raise Failed(f"{path} is in use ({error})") from None
    if entry:
        try:  # fails while the kernel uses the disk: open(2)
            os.close(os.open(f"/dev/{entry}", os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            raise Failed(f"/dev/{entry} is in use ({error.strerror})") from None
    return _unlink(name)


def drop(name: str, path: str) -> dict[str, object]:
    """The disk is lost: unmount it although it is in use."""
    if path and _mounted(path):
        _run("umount", "-l", path)
    return _unlink(name)


def _unlink(name: str) -> dict[str, object]:
    if os.path.islink(f"{LINKS}/{name}"):
        os.unlink(f"{LINKS}/{name}")
    return {}


def write(name: str, path: str) -> dict[str, object]:
    """Write everything out."""
    os.sync()
    return {}


def used(name: str, path: str) -> dict[str, object]:
    """The bytes that its file system uses."""
    if not path or not _mounted(path):
        return {"used": None}
    status = os.statvfs(path)
    return {"used": (status.f_blocks - status.f_bfree) * status.f_frsize}


ACTIONS: dict[str, Callable[[str, str], dict[str, object]]] = {
    "take": take,
    "free": free,
    "drop": drop,
    "write": write,
    "used": used,
}


def main() -> None:
    """Do what the arguments say."""
    do, name, path = sys.argv[1:]
    if do == "take":  # a slow guest mounts it also when the lab has stopped waiting
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        answer = ACTIONS[do](name, path)
    except (Failed, OSError) as error:
        answer = {"failed": str(error)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
