"""What QEMU is told to make a volume, as values. Pure.

Three processes (qemu-storage-daemon) work for a volume.  The *server* in each storage host serves the file of
a copy by NBD.  In the storage adapter, the *assembler* writes each block to all copies (driver ``quorum``
with a threshold of 1, so one copy is enough), and the *head* makes of it a disk that grows and has snapshots
(``qcow2``).  They are two processes, because QEMU copies to a new copy (``blockdev-mirror``) only from a node
that no other node uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.storage.file_system import FORMAT, LOOKED_AT
from topologies.model.storage import PORT, Volume

Node = dict[str, Any]
"""The arguments of ``blockdev-add`` (QEMU's QMP reference)."""

QUORUM, RAW, HEAD, HOLE, REBUILD = "quorum", "raw", "head", "hole", "rebuild"
"""Names of nodes, and of the job that rebuilds a copy."""
WAIT = 600
"""Seconds for which a request waits for the only copy of a volume, before it fails."""
SETTINGS = {
    "ipv4/tcp_retries2": "4",
    "ipv4/tcp_syn_retries": "2",
    "ipv4/tcp_keepalive_time": "2",
    "ipv4/tcp_keepalive_intvl": "1",
    "ipv4/tcp_keepalive_probes": "4",
}
"""TCP in adapters and storage hosts: who is silent for 6 s is lost, whether it owes an acknowledgement or an
answer (tcp(7))."""
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {
    "qemu-storage-daemon": "qemu-system-common",
    "qemu-img": "qemu-utils",
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
}
"""Program -> the package of Debian and Ubuntu that has it."""


@dataclass(frozen=True)
class Folder:
    """The paths of one volume's files in the lab's run directory. Paths of sockets stay below 108 bytes."""

    path: Path

    @property
    def assembled(self) -> Path:
        """The socket where the assembler serves all blocks, tables of qcow2 included."""
        return self.path / "raw.nbd"

    @property
    def disk(self) -> Path:
        """The socket where the head serves the disk to a virtual machine."""
        return self.path / "disk.nbd"

    @property
    def file(self) -> Path:
        """The file that is the disk, in the head's mount namespace."""
        return self.path / "disk"

    @property
    def mounted(self) -> Path:
        """Where its file system is mounted, in the head's mount namespace."""
        return self.path / "mounted"


def folder(run_dir: Path, volume: str) -> Folder:
    """The files of a volume."""
    return Folder(run_dir / "storage" / volume)


def daemon(control: Path, *more: str) -> list[str]:
    """The arguments of a qemu-storage-daemon with a control socket (QMP)."""
    return [
        *("qemu-storage-daemon", "--chardev", f"socket,id=control,path={control},server=on,wait=off"),
        *("--monitor", "chardev=control,mode=control", *more),
    ]


def server(control: Path, address: str) -> list[str]:
    """The daemon of a storage host, which serves at its address."""
    return daemon(control, "--nbd-server", f"addr.type=inet,addr.host={address},addr.port={PORT}")


def local(control: Path, socket: Path) -> list[str]:
    """A daemon that serves at a Unix socket: the assembler, or the head."""
    return daemon(control, "--nbd-server", f"addr.type=unix,addr.path={socket}")


def export_name(volume: str, epoch: int) -> str:
    """The name of a copy's export. A copy that was lost and comes back has another epoch: so an old
    connection, which the client opens again by itself, never finds what it has not written."""
    return f"{volume}.{epoch}"


def served_file(name: str, file: str) -> Node:
    """A storage host's file. Zeros that are written make holes in it."""
    return {
        "driver": "file",
        "node-name": name,
        "filename": file,
        "discard": "unmap",
        "detect-zeroes": "unmap",
    }


def nbd_export(node: str, name: str) -> Node:
    """The arguments of ``block-export-add`` for NBD. The export has the id of its node."""
    return {"type": "nbd", "id": node, "node-name": node, "name": name, "writable": True}


def copy_node(host: str, epoch: int) -> str:
    """The name of the assembler's node for a copy; at most 31 bytes."""
    return f"{host[:20]}.{epoch}"


def remote_copy(volume: Volume, host: str, address: str, epoch: int) -> Node:
    """The assembler's node for the copy at a storage host."""
    return {
        "driver": "nbd",
        "node-name": copy_node(host, epoch),
        "server": {"type": "inet", "host": address, "port": str(PORT), "keep-alive": True},
        "export": export_name(volume.name, epoch),
        "discard": "unmap",
        # another copy answers at once; the only one is waited for
        "reconnect-delay": WAIT if len(volume.copies) == 1 else 0,
    }


def assembled(children: Sequence[str]) -> Node:
    """The node that writes to all copies, and reads from the first that answers."""
    return {
        "driver": "quorum",
        "node-name": QUORUM,
        "children": list(children),
        "vote-threshold": 1,
        "read-pattern": "fifo",
        "discard": "unmap",
    }


def hole(size: int) -> Node:
    """A node that holds the place of a copy while it is rebuilt: it has no data, and fails."""
    fails = [
        {"event": "none", "errno": 5, "iotype": kind}
        for kind in ("read", "write", "write-zeroes", "discard", "flush")
    ]
    nothing = {"driver": "null-co", "size": size, "read-zeroes": True}
    return {"driver": "blkdebug", "node-name": HOLE, "image": nothing, "inject-error": fails}


def rebuild(target: str) -> Node:
    """The arguments of ``blockdev-mirror``: copy everything to ``target``, and write to it what is written
    meanwhile; at its end it takes the hole's place."""
    return {
        "job-id": REBUILD,
        "device": QUORUM,
        "target": target,
        "sync": "full",
        "replaces": HOLE,
        "copy-mode": "write-blocking",
        "auto-dismiss": False,
    }


def raw(of: Folder) -> Node:
    """The head's node for the assembler's blocks."""
    return {
        "driver": "nbd",
        "node-name": RAW,
        "server": {"type": "unix", "path": str(of.assembled)},
        "export": RAW,
        "discard": "unmap",
        "reconnect-delay": WAIT,
    }


def head() -> Node:
    """The disk."""
    return {"driver": "qcow2", "node-name": HEAD, "file": RAW, "discard": "unmap"}


def head_export(volume: Volume, of: Folder) -> Node:
    """How the head gives the disk to its host: by NBD to a virtual machine, as a file to the others."""
    if volume.device:
        return nbd_export(HEAD, volume.name)
    return {
        "type": "fuse",
        "id": HEAD,
        "node-name": HEAD,
        "mountpoint": str(of.file),
        "writable": True,
        "allow-other": "off",
    }


def assembled_url(of: Folder) -> str:
    """The assembler's blocks, for qemu-img."""
    return f"nbd+unix:///{RAW}?socket={of.assembled}"


def create(size: int, of: Folder) -> list[str]:
    """Make the empty disk."""
    return ["qemu-img", "create", "-q", "-f", "qcow2", assembled_url(of), str(size)]


def disk_url(volume: Volume, of: Folder) -> str:
    """The disk of a virtual machine, for qemu-img."""
    return f"nbd+unix:///{volume.name}?socket={of.disk}"


def beginning(volume: Volume, of: Folder, file: str) -> list[str]:
    """Copy the first ``LOOKED_AT`` bytes of a virtual machine's disk into a file."""
    return [
        *("qemu-img", "dd", "-f", "raw", "-O", "raw", f"bs={LOOKED_AT}", "count=1"),
        *(f"if={disk_url(volume, of)}", f"of={file}"),
    ]


def formatted(volume: Volume, of: Folder, file: str) -> list[list[str]]:
    """Make a file system on the empty disk of a virtual machine. ``file``: an empty file for it, which needs
    little room: no disk can be formatted by NBD."""
    return [
        ["truncate", "-s", str(volume.size), file],
        [*FORMAT, file],
        [
            *("qemu-img", "convert", "-n", "--target-is-zero", "-f", "raw", "-O", "raw"),
            *(file, disk_url(volume, of)),
        ],
    ]


def restore(snapshot: str, of: Folder) -> list[str]:
    """Make the disk what it was when the snapshot was saved. Nothing else may use it."""
    return ["qemu-img", "snapshot", "-a", snapshot, assembled_url(of)]


def child_of(graph: Mapping[str, Any], node: str) -> str | None:
    """The name of the quorum's child that is ``node``. ``graph``: of ``x-debug-query-block-graph``."""
    names = {entry["id"]: entry["name"] for entry in graph["nodes"]}
    for edge in graph["edges"]:
        if names.get(edge["parent"]) == QUORUM and names.get(edge["child"]) == node:
            return str(edge["name"])
    return None
