"""The root file system of a container: what is there below, read-only, and its own changes above, in memory.

Above a directory lies an overlay (overlayfs.rst of the kernel).  The machine's own root has no single one: in
a user namespace the kernel refuses one over a folder with mounts below it, and folders that are file systems
of their own would be missing.  So each folder of the machine's root is overlaid, shown read-only, or left
out, and a host sees what it sees as a network namespace (``dataplane.hosts.room``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataplane.hosts import own_mounts, rights
from dataplane.hosts.own_tree import Layer, OwnFile, OwnTree, inside
from linux import syscalls

MACHINE = "machine"
OWN = frozenset({"boot", "dev", "lost+found", "media", "mnt", "proc", "root", "run", "sys", "tmp"})
"""Folders of the machine's root that are the container's own, empty at first."""
MODES = {"root": 0o700, "tmp": 0o1777}
OVERLAID = frozenset({"etc", "home", "opt", "srv", "usr", "var"})
"""Folders that a container can change for itself; further ones are read-only."""
OPENED = (
    *("etc", "home", "opt", "srv", "var", "var/cache", "var/lib", "var/mail", "var/spool"),
    *("usr/local", "usr/local/bin", "usr/local/etc", "usr/local/lib", "usr/local/sbin", "usr/local/share"),
)
"""Folders of these in which a container's root can make and replace files.  The files themselves keep their
owners and modes, so what only the machine's root can read stays unreadable."""
OWN_BELOW = {
    "/var/log": "mode=0755,size=64m",
    "/var/tmp": "mode=1777,size=5%",
    "/var/lib/dhcp": "mode=0755,size=16m",
    "/var/lib/misc": "mode=0755,size=16m",
}
"""Folders of the machine to which programs write -> the options of the container's tmpfs there."""
SIZE = "10%"
"""Of the machine's memory: the most that a container's changes may take."""

NOTHING_OWN = OwnTree()
How = Literal["own", "overlaid", "shown", "link"]


@dataclass(frozen=True)
class Entry:
    """An entry of the machine's root folder: whether it is a folder, or where it points to."""

    name: str
    folder: bool
    target: str = ""


def treatment(entries: Iterable[Entry]) -> list[tuple[Entry, How]]:
    """What a container gets of the entries of the machine's root: folders and links, no other files."""
    chosen: list[tuple[Entry, How]] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.target:
            chosen.append((entry, "link"))
        elif entry.folder:
            how: How = "shown"
            if entry.name in OWN:
                how = "own"
            elif entry.name in OVERLAID:
                how = "overlaid"
            chosen.append((entry, how))
    return chosen


def overlay_options(lower: str, upper: str, work: str, privileged: bool) -> str:
    """Options of mount(2). ``privileged``: the caller is the machine's root, not that of a user namespace."""
    lower, upper, work = (re.sub(r"([\\:,])", r"\\\1", path) for path in (lower, upper, work))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    return options if privileged else f"{options},userxattr"


@dataclass(frozen=True)
class Owner:
    """The hosts' root: its ids in the lab, and its user namespace (None: the lab's own)."""

    uid: int
    gid: int
    users: int | None = None


class RootFolder:
    """The root folder of one container. ``base``: a folder for it, which nobody but the lab can write to."""

    def __init__(self, base: Path, owner: Owner, privileged: bool) -> None:
        self.path = base / "root"
        self.notes: list[str] = []
        self._data, self._owner, self._privileged = base / "data", owner, privileged

    def mount(self, image: str, shift: bool = True, own: OwnTree = NOTHING_OWN) -> tuple[OwnFile, ...]:
        """Mount it. ``image``: a directory, or ``machine``. ``own``: folders of the machine whose files the
        container's root may change, too, and files. Returns the files that must be mounted. Raises OSError.

        ``shift``: files that the machine's root owns belong to the container's root, if the kernel can do it
        (mount_setattr(2), Linux 5.19 for an overlay); never for the machine's own files.
        """
        for folder in (self.path, self._data):
            folder.mkdir(parents=True, exist_ok=True)
        plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("container", str(self._data), "tmpfs", plain, f"mode=0711,size={SIZE}")
        if image == MACHINE:
            return self._of_machine(own)
        self._of_directory(image, shift)
        return own.files

    def unmount(self) -> None:
        """Remove it with all changes."""
        for folder in (self.path, self._data):
            with contextlib.suppress(OSError):
                syscalls.umount(str(folder), syscalls.MNT_DETACH)

    def _of_directory(self, image: str, shift: bool) -> None:
        lower = image
        if shift and self._owner.users is not None:
            shifted = self._data / "image"
            shifted.mkdir()
            try:
                tree = syscalls.copy_tree(image)
                try:
                    syscalls.map_ids(tree, self._owner.users)
                    syscalls.attach_tree(tree, str(shifted))
                finally:
                    os.close(tree)
                lower = str(shifted)
            except OSError as error:
                self.notes.append(f"files of {image} keep their owners: {error.strerror}")
        try:
            self._overlay(lower, self.path, "image")
        except OSError:
            if lower == image:
                raise
            self._overlay(image, self.path, "image")

    def _of_machine(self, own: OwnTree) -> tuple[OwnFile, ...]:
        root = self._data / "tree"
        root.mkdir()
        self._own(root, 0o755)
        placed: set[str] = set()
        for entry, how in treatment(machine_entries()):
            inside, outside = root / entry.name, f"/{entry.name}"
            if how == "link":
                inside.symlink_to(entry.target)
                continue
            inside.mkdir()
            if how == "own":
                self._own(inside, MODES.get(entry.name, 0o755))
                continue
            if how == "overlaid":
                try:
                    layer = own_layer(outside, own)
                    self._overlay(outside, inside, entry.name, opened_below(entry.name), layer)
                    placed |= {file.path for file in layer.files}
                    continue
                except OSError as error:
                    self.notes.append(f"{outside} is read-only: {error.strerror}")
            syscalls.mount(outside, str(inside), None, syscalls.MS_BIND | syscalls.MS_REC)
            syscalls.make_unchangeable(str(inside))
        syscalls.mount(str(root), str(self.path), None, syscalls.MS_BIND | syscalls.MS_REC)
        return tuple(file for file in own.files if file.path not in placed)

    def _overlay(
        self, lower: str, at: Path, name: str, opened: Sequence[str] = ("",), own: Layer | None = None
    ) -> None:
        """Mount an overlay. ``opened``: folders below ``lower`` that belong to the hosts' root. ``own``: what
        it begins with."""
        upper, work = self._data / "upper" / name, self._data / "work" / name
        for folder in (upper, work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        if "" not in opened:
            upper.chmod(stat.S_IMODE(Path(lower).stat().st_mode))
        for below in opened:
            real = Path(lower) / below
            if not real.is_dir() or real.is_symlink():
                continue
            mode = stat.S_IMODE(real.stat().st_mode)
            if mode & 0o5 == 0o5:
                (upper / below).mkdir(parents=True, exist_ok=True)
                self._own(upper / below, mode)
        if own is not None and (own.whole or own.folders or own.files):
            root = rights.Owner(self._owner.uid, self._owner.gid)
            own_mounts.stage(own, upper, root, (), False)
            for whole in own.whole:
                if own_mounts.is_small(whole, ()):
                    own_mounts.stage(
                        Layer(whole, (whole,)), upper / whole[len(lower) :].lstrip("/"), root, (), True
                    )
            # What is copied comes from the machine, so the files that the host has of its own come last.
            own_mounts.stage(Layer(lower, files=own.files), upper, root, (), False)
        flags = syscalls.MS_NODEV | syscalls.MS_NOSUID
        options = overlay_options(lower, str(upper), str(work), self._privileged)
        syscalls.mount("container", str(at), "overlay", flags, options)

    def _own(self, folder: Path, mode: int) -> None:
        os.chown(folder, self._owner.uid, self._owner.gid)
        folder.chmod(mode)


def own_layer(top: str, own: OwnTree) -> Layer:
    """What of ``own`` is in the folder ``top`` of the machine's root."""
    below = [path for path in own.private if inside(path, [top])]
    return Layer(
        top,
        tuple(path for path in below if Path(path).is_dir()),
        tuple(path for path in below if not Path(path).exists()),
        tuple(file for file in own.files if inside(file.path, [top])),
    )


def opened_below(name: str) -> list[str]:
    """The ``OPENED`` folders at and below the folder ``name`` of the root, relative to it."""
    return [path[len(name) :].lstrip("/") for path in OPENED if path == name or path.startswith(f"{name}/")]


def machine_entries() -> list[Entry]:
    """The entries of the machine's root folder."""
    entries = []
    for path in Path("/").iterdir():
        link = path.is_symlink()
        entries.append(Entry(path.name, path.is_dir() and not link, str(path.readlink()) if link else ""))
    return entries
