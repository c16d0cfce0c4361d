"""The sandbox of a host, its room: what a command in the host sees and may do.

A host is a network namespace that belongs to the hosts' user namespace (``dataplane.hosts.users``).  The
first command in a host makes the rest: a PID namespace with an init that only reaps, a host name, and a mount
namespace. There the machine's files are read-only; /run, /tmp, /root and other folders to which programs
write are the host's own, and so is what its topology file gives it (``own_tree``); no file of the lab is
visible.  A host in which no command runs costs nothing.
The room exists as long as the network namespace.

It must run inside the sandbox, as the lab's root, in a process with one thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import signal
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dataplane.hosts.capabilities import confine
from dataplane.hosts.driver import Place, unpacked
from dataplane.hosts.rights import Owner, may
from dataplane.sandbox.namespaces import RUN_NETNS
from linux import syscalls

if TYPE_CHECKING:
    from dataplane.hosts.own_tree import OwnTree

ROOMS = Path("/run/rooms")
"""The folder with a lock, and the process id of the init, of each host that has a room."""
INIT = "exec </dev/null >/dev/null 2>&1; while :; do sleep 1000000; done"
"""The script of a host's first process. A shell waits for all its children, also adopted ones, so none stays
a zombie. It needs a tenth of the memory of a Python interpreter."""
PRIVATE = {
    "/tmp": "mode=1777,size=10%",
    "/var/tmp": "mode=1777,size=5%",
    "/root": "mode=0700,size=5%",
    "/var/log": "mode=0755,size=64m",
    "/var/lib/dhcp": "mode=0755,size=16m",
    "/var/lib/misc": "mode=0755,size=16m",
}
"""Directories of the host's own, empty at first; also /run, which hides the lab's files."""
NODES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
NOT_SHOWN = re.compile(r"/(?:(?:run|proc|sys|dev|var/run)(?:/.*)?)?\Z")
"""Current folders that are not shown in the host: the root, and folders of the host's own."""
INSIDE = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID


PROCESSES = 16384
"""Most processes and threads of all hosts of a lab (RLIMIT_NPROC in getrlimit(2): each user namespace
counts its own); never more than the user has."""
PROCESSES_OF_ONE = 1024
"""The same for one host, if PID namespaces have a limit of their own (Linux 6.14)."""
LIMITED_SINCE = (6, 14)
ELSEWHERE = frozenset(
    {"TMPDIR", "XDG_RUNTIME_DIR", "XAUTHORITY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"}
)
"""Variables that name sockets or files that a host does not see."""
PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


DAEMON = "--daemon"
"""The first argument of ``main`` for a program that asks for capabilities which a host has not."""


class RoomError(Exception):
    """A host can't be entered; the message says why. ``remedy``: what helps; empty: unknown."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


@dataclass(frozen=True)
class Room:
    """A host's namespaces, as open descriptors; ``user`` is None where hosts have none of their own."""

    name: str
    net: int
    pid: int
    mount: int
    uts: int
    ipc: int
    user: int | None
    groups: tuple[str, ...] = ()
    """The files by which its processes join their control groups."""

    def close(self) -> None:
        """Close the descriptors. A process that has entered the room stays there."""
        for fd in (self.net, self.pid, self.mount, self.uts, self.ipc, self.user):
            if fd is not None:
                os.close(fd)


def find(place: Place) -> Room:
    """The room of the host at ``place``, made if it is the first time. Raises RoomError."""
    name, netns = place.name, place.netns
    try:
        net = os.open(RUN_NETNS / netns, os.O_RDONLY | os.O_CLOEXEC)
        ROOMS.mkdir(mode=0o700, exist_ok=True)
        with _locked(ROOMS / f"{netns}.lock"):
            record = ROOMS / f"{netns}.pid"
            known = record.read_text() if record.exists() else ""
            pid = _init_of(net, int(known)) if known.isdecimal() else None
            if pid is None:
                pid = _init_of(net, _make(place, net))
                record.write_text(str(pid))
            if pid is None:
                raise RoomError(f"can't enter host {name}: its first process ended")
        opened = {
            kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            for kind in ("pid", "mnt", "uts", "ipc")
        }
        user = _host_users(net, opened["mnt"])
        pid_space, mounts, uts, ipc = (opened[kind] for kind in ("pid", "mnt", "uts", "ipc"))
        return Room(name, net, pid_space, mounts, uts, ipc, user, _groups(netns))
    except OSError as error:
        raise RoomError(f"can't enter host {name}: {error.strerror or error}") from None


def enter(room: Room) -> str | None:
    """Move the calling process into the room and drop all other rights.

    The caller is a child of a process that has called ``syscalls.setns(room.pid)``: a process keeps the PID
    namespace in which it was created. The current folder is mounted in the room, with the rights of the user
    that the host's root is outside. If these rights are too small, the current folder is the host's own home,
    and the name of the folder is returned. Raises OSError.
    """
    _join(room.groups)
    here = Path().stat()
    shown = _current_folder()
    syscalls.setns(room.net, syscalls.CLONE_NEWNET)
    syscalls.setns(room.uts, syscalls.CLONE_NEWUTS)
    syscalls.setns(room.ipc, syscalls.CLONE_NEWIPC)
    syscalls.setns(room.mount, syscalls.CLONE_NEWNS)
    syscalls.unshare(syscalls.CLONE_NEWNS)  # the mount of the current folder is for this command only
    os.chdir("/")
    unseen = None
    if shown is not None and not may(here, _root_of_network(), 5):
        unseen = shown[0]
        os.close(shown[1])
        os.chdir("/root")
    elif shown is not None:
        folder, tree = shown
        with contextlib.suppress(OSError):
            Path(folder).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # without it, the folder is read-only like the rest of the machine
            syscalls.attach_tree(tree, folder)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        os.close(tree)
    _become_root_of(room.user)
    return unseen


def note_groups(netns: str, files: Sequence[str]) -> None:
    """Let all that enters the host with this namespace from now on join its control groups first. ``files``:
    to which a process writes 0 to join; none: it has no groups. Raises OSError."""
    if not files:
        (ROOMS / f"{netns}.groups").unlink(missing_ok=True)
        return
    ROOMS.mkdir(mode=0o700, exist_ok=True)
    (ROOMS / f"{netns}.groups").write_text("".join(f"{file}\n" for file in files))


def _groups(netns: str) -> tuple[str, ...]:
    try:
        return tuple((ROOMS / f"{netns}.groups").read_text().splitlines())
    except FileNotFoundError:
        return ()


def _join(groups: Sequence[str]) -> None:
    for file in groups:
        Path(file).write_text("0")


def _current_folder() -> tuple[str, int] | None:
    """Where the process is, and a copy of that mount as a descriptor."""
    try:
        folder = str(Path.cwd())
        if NOT_SHOWN.match(folder):
            return None
        return folder, syscalls.copy_tree(".")
    except OSError:
        return None


def limits_numbers(release: str) -> bool:
    """Whether a kernel of this release has a limit of process ids for each PID namespace.

    Older kernels have one limit for the machine, which a lab must not change.
    """
    version = re.match(r"(\d+)\.(\d+)", release)
    return version is not None and (int(version[1]), int(version[2])) >= LIMITED_SINCE


def bounded(wanted: int, *limits: int) -> int:
    """``wanted``, but no more than any of ``limits`` (of getrlimit(2), where -1 is none)."""
    return min([wanted, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])


def _become_root_of(user: int | None) -> None:
    most = bounded(PROCESSES, *resource.getrlimit(resource.RLIMIT_NPROC))
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    if user is not None:
        syscalls.setns(user, syscalls.CLONE_NEWUSER)
        with contextlib.suppress(OSError):  # forbidden where one id alone is mapped
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    confine()


def _host_users(net: int, of_the_lab: int) -> int | None:
    """The user namespace of the hosts, None when it is the lab's own."""
    user, lab = syscalls.owner_of(net), syscalls.owner_of(of_the_lab)
    if os.fstat(user).st_ino == os.fstat(lab).st_ino:
        os.close(user)
        return None
    return user


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _init_of(net: int, guess: int) -> int | None:
    """The process id of a host's init in /proc: the first of its PID namespace, in the host's network
    namespace.

    If the system allows a lab no /proc of its own, the ids in /proc differ from the lab's ids.
    """
    inode = os.fstat(net).st_ino
    if guess and _is_init(guess, inode):
        return guess
    if Path(f"/proc/{guess}").exists() and _own_proc():
        return None
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next((pid for pid in pids if _is_init(pid, inode)), None)


def _own_proc() -> bool:
    """Whether /proc is the lab's own: then its init has the name from ``dataplane.sandbox.sandbox``."""
    with contextlib.suppress(OSError):
        return Path("/proc/1/comm").read_text().strip() == "sdnlab-init"
    return False


def _is_init(pid: int, inode: int) -> bool:
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/ns/net").stat().st_ino == inode:
            status = Path(f"/proc/{pid}/status").read_text()
            ids = re.search(r"^NSpid:\s+(.*)$", status, re.MULTILINE)
            return ids is not None and ids[1].split()[-1] == "1"
    return False


def _make(place: Place, net: int) -> int:
    """Start a host's init; its process id when the room is ready."""
    name = place.name
    tree = _own_tree(place)
    ready, told = os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(ready)
            os.setsid()
            _join(_groups(place.netns))
            syscalls.setns(net, syscalls.CLONE_NEWNET)
            mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            user = _host_users(net, mounts)
            syscalls.unshare(INSIDE)
            init = os.fork()
            if init == 0:
                _init(place, tree, user, told)
            os.write(told, f"{init}\n".encode())
        except OSError as error:
            os.write(told, f"! {error}\n".encode())
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(ready) as answers:
        said = answers.read()  # to its end: the init has become a shell
    os.waitpid(helper, 0)
    lines = said.splitlines()
    wrong = [line for line in lines if line.startswith("!")]
    if wrong or not lines:
        why = " ".join(wrong)[2:] or "its first process ended"
        raise RoomError(f"can't enter host {name}: {why}", closed(Path("/").stat().st_mode))
    return int(lines[0])


def closed(mode: int) -> str:
    """What helps where ``/`` has this mode and only its owner may enter it: the root of a host is another
    user. Empty: nothing is wrong with it. Pure."""
    if mode & 0o005 == 0o005:
        return ""
    return f"hosts' users may not enter this machine's / (its mode is {mode & 0o7777:04o}): chmod 755 /"


def _own_tree(place: Place) -> OwnTree | None:
    """What the host has of its own; None, and nothing is imported: nothing."""
    try:
        text = Path(place.folder, "own.json").read_text(encoding="utf-8") if place.folder else ""
    except FileNotFoundError:
        return None
    from dataplane.hosts import own_tree

    return own_tree.read(text) if text else None


def _init(place: Place, tree: OwnTree | None, user: int | None, told: int) -> NoReturn:
    try:
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # it must not keep a pipe open
                os.set_inheritable(int(entry.name), int(entry.name) <= 2)
        with contextlib.suppress(OSError):
            socket.sethostname(((tree.hostname if tree else "") or place.name)[:64])
        _furnish(place.names_file, tree)
        os.chdir("/")
        _become_root_of(user)
        os.execve("/bin/sh", ["sdnlab-host", "-c", INIT], {"PATH": "/usr/bin:/bin"})
    except OSError as error:
        os.write(told, f"! {error}\n".encode())
    finally:
        os._exit(1)


def rooms_own() -> tuple[str, ...]:
    """The directories of the machine that are each room's own, empty at first."""
    return ("/run", *(path for path in PRIVATE if Path(path).is_dir() and not Path(path).is_symlink()))


def _linked_resolver() -> tuple[Path, int] | None:
    """If /etc/resolv.conf is a link into /run, which a room has of its own: its target, and a descriptor of
    what the lab has there."""
    place = Path("/etc/resolv.conf").resolve()
    if not place.is_relative_to("/run"):
        return None
    try:
        return place, os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _furnish(names_file: str, tree: OwnTree | None) -> None:
    """Make the mounts. Raises OSError: no command may run in a host without them."""
    root = _root_of_network()
    empty = rooms_own()
    resolver = _linked_resolver()
    owner = f",uid={root.uid},gid={root.gid}"
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    if names_file:
        syscalls.mount(names_file, "/etc/hosts", None, syscalls.MS_BIND)
    syscalls.make_unchangeable("/")
    syscalls.mount("host", "/run", "tmpfs", plain, f"mode=0755,size=64m{owner}")
    if resolver is not None:
        place, content = resolver
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        syscalls.mount(f"/proc/self/fd/{content}", str(place), None, syscalls.MS_BIND)
        os.close(content)
    if tree is not None:
        from dataplane.hosts import own_mounts

        arrangement = own_mounts.arrangement(tree, empty)
        own_mounts.mount(arrangement, root)
    with contextlib.suppress(OSError):  # where parts of the machine's own are masked, the old ones must do
        syscalls.mount("proc", "/proc", "proc", plain | syscalls.MS_NOEXEC)
        if limits_numbers(os.uname().release):
            Path("/proc/sys/kernel/pid_max").write_text(str(PROCESSES_OF_ONE))
    with contextlib.suppress(OSError):
        syscalls.mount("sysfs", "/sys", "sysfs", plain | syscalls.MS_NOEXEC)
    _devices(owner)
    for path, options in PRIVATE.items():
        if path in empty:
            syscalls.mount("host", path, "tmpfs", plain, options + owner)
    if tree is not None:
        own_mounts.write(arrangement, root)


def _root_of_network() -> Owner:
    """User and group that root of this network namespace is for files: they own its kernel parameters
    (net_ctl_set_ownership in the kernel's net/sysctl_net.c)."""
    info = Path("/proc/sys/net/ipv4/ip_forward").stat()
    return Owner(info.st_uid, info.st_gid)


def _devices(owner: str) -> None:
    """Make a /dev with the usual devices. It is made in another folder first, because it binds the machine's
    nodes."""
    aside = Path("/run/dev")
    aside.mkdir(exist_ok=True)
    syscalls.mount("host", str(aside), "tmpfs", syscalls.MS_NOSUID, f"mode=0755,size=1m{owner}")
    for node in NODES:
        with contextlib.suppress(OSError):
            real = Path("/dev") / node
            if stat.S_ISCHR(real.stat().st_mode):
                (aside / node).parent.mkdir(exist_ok=True)
                (aside / node).touch()
                syscalls.mount(str(real), str(aside / node), None, syscalls.MS_BIND)
    for link, target in LINKS.items():
        (aside / link).symlink_to(target)
    for folder, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", f"mode=1777,size=5%{owner}"),
    ):
        (aside / folder).mkdir()
        with contextlib.suppress(OSError):
            flags = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
            syscalls.mount("host", str(aside / folder), kind, flags, options)
    syscalls.mount(str(aside), "/dev", None, syscalls.MS_MOVE)
    aside.rmdir()


def main() -> NoReturn:
    """Run a command in a host and pass signals on. Arguments: ``[DAEMON] PLACE COMMAND...``, a place as in
    ``driver.packed``."""
    words = sys.argv[1:]
    is_daemon = words[0] == DAEMON
    packed, *command = words[is_daemon:]
    place = unpacked(packed)
    with contextlib.suppress(PermissionError):  # it is the first of its session already
        os.setsid()
    try:
        room = find(place)
        syscalls.setns(room.pid, syscalls.CLONE_NEWPID)
    except (RoomError, OSError) as error:
        sys.exit(f"{error}")
    if is_daemon:
        from linux import seccomp  # a room may not see this project's folder
    child = os.fork()
    if child == 0:
        try:
            enter(room)
            syscalls.die_with_parent(signal.SIGKILL)
            if is_daemon:
                seccomp.keep_capabilities()
            os.execvpe(command[0], command, surroundings(os.environ, place))
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        except Exception as error:
            os.write(2, f"{command[0]}: {error!r}\n".encode())
        finally:
            os._exit(127)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def surroundings(environment: Mapping[str, str], place: Place) -> dict[str, str]:
    """The environment that a command in a host gets: the caller's, with folders that it may write to, and the
    host's own variables."""
    kept = {key: value for key, value in environment.items() if key not in ELSEWHERE}
    return kept | {"HOME": "/root"} | dict(place.environment)
