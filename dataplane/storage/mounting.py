"""Mounts a volume's file system in a host, and takes it away: a program, because a process with threads can't
enter mount namespaces.

The disk is a file in the mount namespace of the volume's head. The file system on it (ext4) is mounted there:
by the kernel through a loop device, where the lab may have one (root), and else by fuse2fs.  A copy of that
mount is attached in the host's mount namespace.  So the host sees the file system, and never the disk.

One argument: a JSON object with what to ``do`` and the fields of ``Task``. The answer is a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataplane.hosts.driver import HasMounts, HostError, Place, unpacked
from dataplane.hosts.drivers import driver
from dataplane.sandbox.namespaces import RUN_NETNS, start_thread
from dataplane.storage.file_system import FILE_SYSTEM, FORMAT, LOOKED_AT, what_is_there
from linux import syscalls

ROOT = Path(__file__).resolve().parents[2]
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dataplane.storage.mounting import main; main()"
PATIENCE = 5.0
"""Seconds to wait until the disk of an unmounted file system is free."""
FLAGS = "nosuid,nodev"


@dataclass(frozen=True)
class Task:
    """``mounts``: a descriptor of the head's mount namespace, which the program inherits. ``disk``,
    ``mounted``: paths in it. ``host``: its name; ``place``: its place, packed. ``path``: where the file
    system is mounted in it."""

    mounts: int
    disk: str
    mounted: str
    host: str
    place: str
    path: str


class MountError(Exception):
    """It can't be mounted or unmounted; the message says why. ``remedy``: what helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def run(do: str, task: Task) -> dict[str, Any]:
    """Let the program ``do`` (one of ``ACTIONS``) the task; its answer. Raises MountError."""
    words = json.dumps({"do": do, **asdict(task)})
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, str(ROOT), words],
        pass_fds=[task.mounts],
        capture_output=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise MountError(f"{do}: {last[0] if last else 'it has ended'}") from None
    if "failed" in answer:
        raise MountError(answer["failed"], answer.get("remedy", ""))
    return answer


def used(mounts: int, path: Path) -> int:
    """The bytes that the file system at ``path`` of a mount namespace (a descriptor) uses. Raises OSError."""

    def look() -> int:
        syscalls.unshare(syscalls.CLONE_FS)  # else a thread can't enter it
        syscalls.setns(mounts, syscalls.CLONE_NEWNS)
        status = os.statvfs(path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    return start_thread(look).result()


def main() -> None:
    """Do what the argument says."""
    fields = json.loads(sys.argv[1])
    do = ACTIONS[fields.pop("do")]
    try:
        answer = do(Task(**fields))
    except MountError as error:
        answer = {"failed": error.what, "remedy": error.remedy}
    except (OSError, HostError) as error:
        answer = {"failed": str(error)}
    print(json.dumps(answer), flush=True)


def _tool(*words: str, good: frozenset[int] = frozenset({0})) -> None:
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode not in good:
        text = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise MountError(f"{words[0]}: {text[-1] if text else f'exit code {done.returncode}'}")


def _has_file_system(disk: str) -> bool:
    with Path(disk).open("rb") as file:
        return what_is_there(file.read(LOOKED_AT)) == FILE_SYSTEM


def _check(disk: str, *more: str) -> None:
    _tool("e2fsck", "-p", *more, disk, good=frozenset({0, 1, 2}))  # 1, 2: errors that it has corrected


def _mount(task: Task) -> dict[str, Any]:
    place = unpacked(task.place)
    net = os.open(RUN_NETNS / place.netns, os.O_RDONLY | os.O_CLOEXEC)
    host, owner = _mounts_of(place), _root_of(net)
    syscalls.setns(task.mounts, syscalls.CLONE_NEWNS)
    if _has_file_system(task.disk):
        _check(task.disk)
    else:
        _tool(*FORMAT, task.disk)
    Path(task.mounted).mkdir(exist_ok=True)
    how = _mount_by_kernel(task) or _mount_by_fuse(task)
    os.chown(task.mounted, *owner)
    tree = syscalls.copy_tree(task.mounted)
    try:
        _make_folder(host, net, task.path)
        syscalls.setns(host, syscalls.CLONE_NEWNS)
        syscalls.attach_tree(tree, task.path)
    except OSError as error:
        raise MountError(
            f"{task.host} has no directory {task.path}, and can't make it: {error.strerror}",
            "take one that it has, like /srv or /mnt, or one in /run or /tmp",
        ) from None
    return {"how": how}


def _mounts_of(place: Place) -> int:
    """A descriptor of the host's mount namespace."""
    hosts = driver(place.kind)
    if not isinstance(hosts, HasMounts):
        raise MountError(f"nothing can be mounted in {place.name}: hosts of kind {place.kind} have no mounts")
    return hosts.mount_namespace(place)


def _make_folder(host: int, net: int, path: str) -> None:
    """Make a directory in the host's mount namespace, as its root. Raises OSError."""
    told, tells = os.pipe()
    users, own = syscalls.owner_of(net), Path("/proc/self/ns/user").stat().st_ino
    child = os.fork()
    if child == 0:
        try:
            syscalls.setns(host, syscalls.CLONE_NEWNS)
            if not Path(path).is_dir():
                if os.fstat(users).st_ino != own:
                    syscalls.setns(users, syscalls.CLONE_NEWUSER)
                    os.setresgid(0, 0, 0)
                    os.setresuid(0, 0, 0)
                Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            os.write(tells, str(error.errno).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(tells)
    if number := os.read(told, 16):
        raise OSError(int(number), os.strerror(int(number)))


def _root_of(net: int) -> tuple[int, int]:
    """User and group that the host's root is for files: they own the parameters of its network namespace."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(net, syscalls.CLONE_NEWNET)
    owner = Path("/proc/sys/net/ipv4/ip_forward").stat()
    syscalls.setns(here, syscalls.CLONE_NEWNET)
    os.close(here)
    return owner.st_uid, owner.st_gid


def _mount_by_kernel(task: Task) -> str:
    """``loop``; empty: the lab may have no loop device."""
    with contextlib.suppress(MountError):
        _tool("mount", "-t", "ext4", "-o", f"loop,{FLAGS}", task.disk, task.mounted)
        return "loop"
    return ""


def _mount_by_fuse(task: Task) -> str:
    try:
        _tool("fuse2fs", "-o", f"allow_other,{FLAGS}", task.disk, task.mounted)
    except FileNotFoundError:
        raise MountError(
            "the lab may use no loop device, and fuse2fs is not installed", "sudo apt-get install fuse2fs"
        ) from None
    return "fuse2fs"


def _unmount(task: Task) -> dict[str, Any]:
    """Unmount it in the host and at the head; wait until nobody holds the disk, else mount it again."""
    host = _mounts_of(unpacked(task.place))
    syscalls.setns(task.mounts, syscalls.CLONE_NEWNS)
    head = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    tree = syscalls.copy_tree(task.mounted) if os.path.ismount(task.mounted) else None
    syscalls.setns(host, syscalls.CLONE_NEWNS)
    try:
        if os.path.ismount(task.path):
            syscalls.umount(task.path)
    except OSError as error:
        raise _in_use(task, error.strerror) from None
    syscalls.setns(head, syscalls.CLONE_NEWNS)
    if tree is None:
        return {}
    syscalls.umount(task.mounted)
    os.close(tree)
    if not _free(task.disk):
        # a command of the host still has it: it stays as it was
        again = _mount_by_kernel(task) or _mount_by_fuse(task)
        tree = syscalls.copy_tree(task.mounted)
        syscalls.setns(host, syscalls.CLONE_NEWNS)
        syscalls.attach_tree(tree, task.path)
        raise _in_use(task, f"a command holds it ({again})")
    return {}


def _in_use(task: Task, why: str | None) -> MountError:
    return MountError(
        f"{task.path} of {task.host} is in use: {why}",
        f"end the commands that run in {task.host}, shells included",
    )


def _free(disk: str) -> bool:
    """Whether no loop device and no fuse2fs has the disk, within ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        loops = subprocess.run(["losetup", "-j", disk], capture_output=True, check=False).stdout
        if not loops.strip() and not _held(disk):
            return True
        time.sleep(0.05)
    return False


def _held(disk: str) -> bool:
    """Whether a process that we may look at has the disk open."""
    wanted = Path(disk).stat()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                for fd in (entry / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        seen = fd.stat()
                        if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                            return True
    return False


def _sync(task: Task) -> dict[str, Any]:
    syscalls.setns(task.mounts, syscalls.CLONE_NEWNS)
    _tool("sync", "-f", task.mounted)
    return {}


def _resize(task: Task) -> dict[str, Any]:
    """Make an unmounted file system as large as its disk."""
    syscalls.setns(task.mounts, syscalls.CLONE_NEWNS)
    _check(task.disk, "-f")
    _tool("resize2fs", task.disk)
    return {}


def _drop(task: Task) -> dict[str, Any]:
    """Take away the mount in the host whose disk is gone."""
    host = _mounts_of(unpacked(task.place))
    syscalls.setns(host, syscalls.CLONE_NEWNS)
    if any(line.split()[1] == task.path for line in Path("/proc/self/mounts").read_text().splitlines()):
        syscalls.umount(task.path, syscalls.MNT_DETACH)
    return {}


ACTIONS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "mount": _mount,
    "unmount": _unmount,
    "sync": _sync,
    "resize": _resize,
    "drop": _drop,
}

if __name__ == "__main__":
    main()
