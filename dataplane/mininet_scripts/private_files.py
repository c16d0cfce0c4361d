"""The folders that a script has of its own, so that nothing of it remains: /tmp, /etc, /root and others.

What is needed of a private folder (the script, the current folder) stays visible in it, and writable as ever.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dataplane.hosts.own_mounts import arrangement
from dataplane.hosts.own_mounts import mount as mount_own
from dataplane.hosts.own_tree import OwnFile, OwnTree, inside
from dataplane.hosts.rights import Owner
from linux import syscalls

_ASIDE = Path("/run/sdnlab-private")
INTERFACES = "/etc/network/interfaces"
"""A file that Mininet's NAT reads and extends."""
CLOSED = ("/proc/sys/kernel", "/proc/sys/fs", "/proc/sys/vm", "/proc/sys/dev", "/proc/sys/debug")
"""Kernel parameters of the whole machine: a script of root must not change them."""


class Folder(NamedTuple):
    """A private folder. ``empty``: it begins without anything, else with what the machine has. ``kept``: what
    stays the machine's in it."""

    path: str
    empty: bool
    kept: tuple[str, ...] = ()


def plan(needed: Iterable[str], root: bool) -> list[Folder]:
    """The private folders of a script. ``needed``: paths that must stay as they are, without symbolic links;
    ``root``: whether root runs the script, who may write everywhere."""
    wanted = [("/tmp", True), ("/var/tmp", True), ("/root", not root)]
    if root:
        wanted += [("/var/log", False), ("/var/lib/dhcp", False), ("/var/lib/misc", False)]
    folders = []
    paths = sorted(set(needed), key=lambda path: len(PurePosixPath(path).parts))
    for path, empty in wanted:
        kept: list[str] = []
        for one in paths:
            if inside(one, [path]) and not inside(one, kept):
                kept.append(one)
        if path in kept and path == "/root":
            continue  # it is the user's current folder: what is written there is wanted
        folders.append(Folder(path, empty and path not in kept, tuple(one for one in kept if one != path)))
    return folders


def mount(folders: Sequence[Folder], root: bool) -> list[str]:
    """Make the folders private. Returns texts about what could not be done."""
    notes = []
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    _ASIDE.mkdir(exist_ok=True)
    syscalls.mount("sdnlab", str(_ASIDE), "tmpfs", flags, "mode=0700,size=50%")
    for number, folder in enumerate(folders):
        if Path(folder.path).is_dir() and not Path(folder.path).is_symlink():
            try:
                _mount(folder, _ASIDE / str(number))
            except OSError as error:
                notes.append(f"{folder.path} stays the machine's: {error.strerror or error}")
    syscalls.umount(str(_ASIDE), syscalls.MNT_DETACH)
    missing = () if Path(INTERFACES).exists() else (OwnFile(INTERFACES, "", 0o644),)
    try:
        mount_own(arrangement(OwnTree(files=missing, private=("/etc",)), ("/run", "/tmp")), Owner(0, 0))
    except OSError as error:
        notes.append(f"/etc stays the machine's: {error.strerror or error}")
    if root:
        _close_parameters()
    return notes


def _mount(folder: Folder, aside: Path) -> None:
    kept = [(path, syscalls.copy_tree(path)) for path in folder.kept if os.path.lexists(path)]
    mode = Path(folder.path).stat().st_mode & 0o7777
    aside.mkdir()
    upper = aside / "upper"
    upper.mkdir()
    upper.chmod(mode)
    if folder.empty:
        syscalls.mount(str(upper), folder.path, None, syscalls.MS_BIND)
    else:
        _overlay(folder.path, upper, aside)
    for path, tree in kept:
        target = Path(path)
        is_folder = os.path.isdir(f"/proc/self/fd/{tree}")  # noqa: PTH112 - the path is no real one
        with contextlib.suppress(FileExistsError):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir() if is_folder else target.touch()
        syscalls.attach_tree(tree, path)
        os.close(tree)


def _overlay(path: str, upper: Path, aside: Path) -> None:
    work, lower = aside / "work", aside / "lower"
    work.mkdir()
    lower.mkdir()
    syscalls.mount(path, str(lower), None, syscalls.MS_BIND)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
    try:
        syscalls.mount("sdnlab", path, "overlay", plain, options + ",userxattr")
    except OSError:
        syscalls.mount("sdnlab", path, "overlay", plain, options)


def _close_parameters() -> None:
    for path in CLOSED:
        with contextlib.suppress(OSError):
            syscalls.mount(path, path, None, syscalls.MS_BIND)
            syscalls.make_unchangeable(path)
