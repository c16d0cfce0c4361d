"""A container as the runtime gets it: the config.json of an OCI bundle, as a value.

The runtime (runc) itself runs as root of the hosts' user namespace, which owns the host's network namespace.
So it makes the other namespaces inside of it, and an error in it gives no rights on the machine.  OCI runtime
specification 1.0.2: config.md, config-linux.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataplane.hosts import capabilities
from dataplane.hosts.container import seccomp

VERSION = "1.0.2"
INIT = "/dev/init"
"""The path, in a container, of its first process's program, which reaps (catatonit)."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""Files and folders about the machine, hidden in a container (as Docker does: moby, oci/defaults.go)."""
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger")
"""Docker's but for /proc/sys: there, a host's root sets its own network's parameters and no others."""
TUN_DEVICE = "/dev/net/tun"
TUN = {"path": TUN_DEVICE, "type": "c", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 0, "gid": 0}


@dataclass(frozen=True)
class Bound:
    """A file or folder of the machine that the container sees at ``target``."""

    source: str
    target: str
    options: tuple[str, ...] = ("rbind", "rw", "nosuid", "nodev")


@dataclass(frozen=True)
class User:
    """Ids inside the container."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


ROOT_USER = User()


@dataclass(frozen=True)
class Contents:
    """What is in a container. ``root``: its root folder; ``netns``: the path of its network namespace.

    ``command``: runs below the init; empty: the init idles. ``init``: the init's program on the machine.
    ``private``: folders that are the container's own, empty at first, with options of their tmpfs.
    ``processes``: RLIMIT_NPROC.
    ``tun``: whether there is a /dev/net/tun.
    """

    root: str
    netns: str
    hostname: str
    init: str
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: User = ROOT_USER
    binds: tuple[Bound, ...] = ()
    private: tuple[tuple[str, str], ...] = ()
    processes: int = 16384
    tun: bool = False


def config(contents: Contents) -> dict[str, Any]:
    """The config.json."""
    kept = sorted(CAPABILITIES[number] for number in capabilities.OF_HOSTS)
    user = contents.user
    namespaces: list[dict[str, str]] = [{"type": kind} for kind in ("mount", "pid", "uts", "ipc")]
    return {
        "ociVersion": VERSION,
        "hostname": contents.hostname,
        "root": {"path": contents.root},
        "process": {
            "args": [INIT, "-P"] if not contents.command else [INIT, "--", *contents.command],
            "env": environment(contents.environment),
            "cwd": contents.folder,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
            "noNewPrivileges": True,
            # A process of another id than root has none (capabilities(7)): it can't get any, either.
            "capabilities": {
                "bounding": kept,
                "permitted": kept if user.uid == 0 else [],
                "effective": kept if user.uid == 0 else [],
            },
            "rlimits": [
                {"type": "RLIMIT_NPROC", "hard": contents.processes, "soft": contents.processes},
            ],
        },
        "mounts": [
            *_own_file_systems(),
            *(_tmpfs(folder, *options.split(",")) for folder, options in contents.private),
            *(_bind(bound) for bound in contents.binds),
            _bind(Bound(contents.init, INIT, ("bind", "ro", "nosuid", "nodev"))),
        ],
        "linux": {
            "namespaces": [*namespaces, {"type": "network", "path": contents.netns}],
            "devices": [TUN] if contents.tun else [],
            "seccomp": seccomp.profile(),
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
        },
    }


CAPABILITIES = {
    capabilities.CHOWN: "CAP_CHOWN",
    capabilities.DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
    capabilities.FOWNER: "CAP_FOWNER",
    capabilities.FSETID: "CAP_FSETID",
    capabilities.KILL: "CAP_KILL",
    capabilities.SETGID: "CAP_SETGID",
    capabilities.SETUID: "CAP_SETUID",
    capabilities.SETPCAP: "CAP_SETPCAP",
    capabilities.NET_BIND_SERVICE: "CAP_NET_BIND_SERVICE",
    capabilities.NET_ADMIN: "CAP_NET_ADMIN",
    capabilities.NET_RAW: "CAP_NET_RAW",
    capabilities.SYS_CHROOT: "CAP_SYS_CHROOT",
    capabilities.SYS_NICE: "CAP_SYS_NICE",
}


def environment(*layers: Iterable[tuple[str, str]]) -> list[str]:
    """``NAME=VALUE`` for each variable; a later layer replaces. Without a PATH it has the usual one."""
    merged: dict[str, str] = {"PATH": PATH, "HOME": "/root"}
    for layer in layers:
        merged |= dict(layer)
    return [f"{name}={value}" for name, value in merged.items()]


def exec_words(
    runc: str, state: str, name: str, words: Sequence[str], more: Mapping[str, str], options: Sequence[str]
) -> list[str]:
    """The arguments of the runtime that run ``words`` in the container ``name``.

    ``state``: the runtime's folder. ``more``: variables beside those of the container. ``options``: of
    ``runc exec``.
    """
    variables = [word for name, value in more.items() for word in ("--env", f"{name}={value}")]
    return [runc, "--root", state, "exec", *options, *variables, "--", name, *words]


def _own_file_systems() -> list[dict[str, Any]]:
    kernel = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": kernel},
        # It shows the devices of the network namespace. Its root may set their parameters.
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": kernel},
        _tmpfs("/dev", "mode=0755", "size=1m"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        _tmpfs("/dev/shm", "mode=1777", "size=64m", "noexec", "nodev"),
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": kernel,
        },
        _tmpfs("/run", "mode=0755", "size=64m", "nodev"),
    ]


def _tmpfs(folder: str, *options: str) -> dict[str, Any]:
    return {"destination": folder, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}


def _bind(bound: Bound) -> dict[str, Any]:
    options = list(bound.options)
    return {"destination": bound.target, "type": "bind", "source": bound.source, "options": options}
