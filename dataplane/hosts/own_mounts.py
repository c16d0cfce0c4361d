"""Gives a room the files and directories that its host has of its own (see ``own_tree``).

A layer is prepared in a tmpfs of the room.  A small directory of which the host may change all is copied;
each kernel can do this.  Other directories are overlays (Documentation/filesystems/overlayfs.rst in the
kernel's source; in a user namespace from Linux 5.11 on), above which the host's changes are in the tmpfs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dataplane.hosts.own_tree import Arrangement, Kind, Layer, OwnFile, OwnTree, arrange, inside
from dataplane.hosts.rights import Owner, may
from linux import syscalls

SMALL_ENTRIES, SMALL_BYTES = 5000, 16 << 20
"""A directory with more than this is not copied."""
MOST_FOLDERS = 20000
"""In so many directories of one that is not copied, a host may make, replace and remove files."""
SIZE = "size=20%"
"""The most that a host's changes may take, of the machine's memory."""
_ASIDE = Path("/run/own")


def look(path: str) -> Kind:
    """What the machine has at a path. Something that can't be seen counts as nothing."""
    try:
        return "folder" if stat.S_ISDIR(Path(path).stat().st_mode) else "file"
    except OSError:
        return ""


def arrangement(tree: OwnTree, rooms_own: Collection[str]) -> Arrangement:
    """The mounts and files for ``tree`` on this machine. ``rooms_own``: see ``own_tree.arrange``."""
    real = os.path.realpath
    tree = replace(
        tree,
        files=tuple(OwnFile(real(path), content, mode) for path, content, mode in tree.files),
        private=tuple(dict.fromkeys(map(real, tree.private))),
    )
    return arrange(tree, look, rooms_own)


def mount(wanted: Arrangement, owner: Owner) -> None:
    """Make the layers, and mount the files over those of the machine. Raises OSError.

    It is called after /run has become the room's own, and before the room's other directories are.
    """
    for path, why in wanted.impossible:
        raise OSError(f"it can't have {path} of its own: {why}")
    if not wanted.layers and not wanted.over:
        return
    _ASIDE.mkdir()
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("own", str(_ASIDE), "tmpfs", plain, f"mode=0700,{SIZE}")
    for number, layer in enumerate(wanted.layers):
        _mount_layer(layer, _ASIDE / str(number), owner)
    for number, file in enumerate(wanted.over):
        aside = _ASIDE / f"file-{number}"
        _write(aside, file, owner)
        syscalls.mount(str(aside), file.path, None, syscalls.MS_BIND)
    syscalls.umount(str(_ASIDE), syscalls.MNT_DETACH)
    _ASIDE.rmdir()


def write(wanted: Arrangement, owner: Owner) -> None:
    """Make the directories and files in places that are the room's own. Raises OSError."""
    for folder in wanted.folders:
        _make_folders(Path(folder), owner)
    for file in wanted.files:
        _make_folders(Path(file.path).parent, owner)
        _write(Path(file.path), file, owner)


def _make_folders(path: Path, owner: Owner) -> None:
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
            os.chown(folder, *owner)


def _write(path: Path, file: OwnFile, owner: Owner) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.write_text(file.content, encoding="utf-8", newline="")
    os.chown(path, *owner)
    path.chmod(file.mode)


# Layers


def _mount_layer(layer: Layer, aside: Path, owner: Owner) -> None:
    mounted = _mounted_in(layer.path)
    copied = layer.whole == (layer.path,) and is_small(layer.path, mounted)
    aside.mkdir()
    upper = stage(layer, aside / "upper", owner, mounted, copied)
    # What others have mounted in the directory (the lab's /etc/hosts) stays visible.
    own = {file.path for file in layer.files}
    kept = [(path, syscalls.copy_tree(path)) for path in mounted if path not in own]
    if copied:
        syscalls.mount(str(upper), layer.path, None, syscalls.MS_BIND)
    else:
        try:
            _overlay(layer.path, upper, aside)
        except OSError as error:
            if not is_small(layer.path, mounted):
                raise OSError(
                    error.errno,
                    f"{layer.path} can't become its own: this kernel allows no overlay here (an ordinary "
                    f"user's lab needs Linux 5.11), and it is too large to be copied: {error.strerror}",
                ) from None
            upper = stage(layer, aside / "copy", owner, mounted, True)
            syscalls.mount(str(upper), layer.path, None, syscalls.MS_BIND)
    for path, tree in kept:
        syscalls.attach_tree(tree, path)
        os.close(tree)


def stage(layer: Layer, upper: Path, owner: Owner, mounted: Sequence[str], copied: bool) -> Path:
    """Make what the host's directory begins with, beside what an overlay takes from the machine."""

    def at(path: str) -> Path:
        return upper / PurePosixPath(path).relative_to(layer.path)

    def folder(path: str) -> None:
        for above in reversed([PurePosixPath(path), *PurePosixPath(path).parents]):
            if inside(str(above), [layer.path]) and not at(str(above)).is_dir():
                _like(Path(above), at(str(above)), owner)

    folder(layer.path)
    if copied:
        for path, entry in entries(layer.path, mounted):
            _copy(path, entry, at(path), owner, path in mounted)
    else:
        left = MOST_FOLDERS
        for whole in layer.whole:
            folder(whole)
            for path, entry in entries(whole, mounted):
                if not entry.is_dir(follow_symlinks=False) or path in mounted or not left:
                    continue
                if at(path).parent.is_dir() and readable(entry, owner):
                    _like(Path(path), at(path), owner)
                    left -= 1
    for path in layer.folders:
        folder(path)
    for file in layer.files:
        folder(str(PurePosixPath(file.path).parent))
        _write(at(file.path), file, owner)
    return upper


def _like(machines: Path, new: Path, owner: Owner) -> None:
    """Make the host's own directory in place of one of the machine, if there is one."""
    mode = stat.S_IMODE(machines.stat().st_mode) if machines.is_dir() else 0o755
    new.mkdir(exist_ok=True)
    os.chown(new, *owner)
    new.chmod(mode & 0o1777)


def _copy(path: str, entry: os.DirEntry[str], new: Path, owner: Owner, mounted: bool) -> None:
    """Copy what the host's root may read. It becomes the owner."""
    if not new.parent.is_dir() or not (mounted or readable(entry, owner)):
        return  # or it is in a directory that it may not enter
    if entry.is_symlink():
        new.symlink_to(Path(path).readlink())
        os.chown(new, *owner, follow_symlinks=False)
    elif mounted:
        new.mkdir() if entry.is_dir() else new.touch()
    elif entry.is_dir():
        _like(Path(path), new, owner)
    else:
        new.write_bytes(Path(path).read_bytes())
        os.chown(new, *owner)
        new.chmod(stat.S_IMODE(entry.stat().st_mode) & 0o777)


def readable(entry: os.DirEntry[str], owner: Owner) -> bool:
    """Whether it is a directory, file or link that ``owner`` may read."""
    info = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(info.st_mode):
        return may(info, owner, 5)
    return stat.S_ISLNK(info.st_mode) or (stat.S_ISREG(info.st_mode) and may(info, owner, 4))


def entries(folder: str, mounted: Collection[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All that is below a folder, each directory before what is in it; nothing inside other mounts."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                yield entry.path, entry
                if entry.path not in mounted and entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def is_small(folder: str, mounted: Collection[str]) -> bool:
    """Whether a directory is small enough to be copied for each host."""
    size = 0
    for number, (path, entry) in enumerate(entries(folder, mounted)):
        if path not in mounted and entry.is_file(follow_symlinks=False):
            size += entry.stat(follow_symlinks=False).st_size
        if number >= SMALL_ENTRIES or size > SMALL_BYTES:
            return False
    return True


def _overlay(path: str, upper: Path, aside: Path) -> None:
    work, lower = aside / "work", aside / "lower"
    work.mkdir()
    lower.mkdir()
    syscalls.mount(path, str(lower), None, syscalls.MS_BIND)  # its name needs no escapes
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
    ranges = Path("/proc/self/uid_map").read_text().split()
    own_users = ranges != ["0", "0", "4294967295"]  # then only attributes of users can mark what is removed
    try:
        syscalls.mount("own", path, "overlay", plain, options + (",userxattr" if own_users else ""))
    except OSError:
        if not own_users:
            raise
        syscalls.mount("own", path, "overlay", plain, options)


def _mounted_in(folder: str) -> list[str]:
    """The mount points below a folder; none is inside another."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="surrogateescape") as table:
        rows = [line.split(" ") for line in table]
    points: list[str] = []
    for path in sorted({path for path, _ in syscalls.below(rows, folder)} - {folder}):
        if not inside(path, points):
            points.append(path)
    return points
