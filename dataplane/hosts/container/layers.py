"""Applies the layers of an image to a folder, in a process that can touch nothing else.

The process's root is the folder (chroot(2)), and it is only root of a user namespace: whatever a layer has,
absolute links, ``..``, devices, it has no name for a file outside and no right to one.  The rules for what an
entry replaces and for whiteouts are those of the OCI image specification, layer.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import resource
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from linux import syscalls

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
XATTR = "SCHILY.xattr."
KEPT_XATTRS = ("security.capability", "user.")


class LayerError(Exception):
    """A layer can't be applied; the message says why."""


class Layer:
    """One layer that is being applied to the root folder of this process."""

    def __init__(self) -> None:
        self.made: set[Path] = set()
        """Paths of this layer: its whiteouts concern only what was there before."""
        self.devices = 0
        self.owners = 0
        """Device nodes that were left out, and files that got another owner."""

    def apply(self, stream: IO[bytes]) -> None:
        """Apply a tar archive. Raises LayerError."""
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for entry in archive:
                    self._entry(archive, entry)
        except tarfile.TarError as error:
            raise LayerError(f"it is no tar archive: {error}") from None
        except (OSError, ValueError, RecursionError) as error:
            where = getattr(error, "filename", None) or ""
            raise LayerError(f"{where}: {getattr(error, 'strerror', None) or error}") from None

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = Path(posixpath.normpath("/" + entry.name.lstrip("/")))
        if path.name:
            parent = path.parent.resolve()
            parent.mkdir(0o755, parents=True, exist_ok=True)
            path = parent / path.name
        if path.name.startswith(WHITEOUT):
            self._whiteout(path)
            return
        if not self._make(archive, entry, path):
            return
        self.made.add(path)
        if entry.islnk():
            return
        try:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        except OSError:  # an id that this user namespace does not have
            self.owners += 1
        if not entry.issym():
            # Who unpacks must be able to remove a folder again.
            path.chmod(stat.S_IMODE(entry.mode) | (0o700 if entry.isdir() else 0))
            self._attributes(entry, path)
        if entry.isreg():
            with contextlib.suppress(OSError, OverflowError):
                os.utime(path, (entry.mtime, entry.mtime))

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> bool:
        """Make the file; whether it was made."""
        folder_stays = entry.isdir() and _is_folder(path)
        if not folder_stays and path.name:
            _remove(path)
        if entry.isdir():
            if not folder_stays:
                path.mkdir()
        elif entry.isreg():
            content = archive.extractfile(entry)
            assert content is not None
            with path.open("xb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
        elif entry.issym():
            path.symlink_to(entry.linkname)
        elif entry.islnk():
            source = posixpath.normpath("/" + entry.linkname.lstrip("/"))
            os.link(source, path, follow_symlinks=False)
        elif entry.isfifo():
            os.mkfifo(path)
        else:
            self.devices += 1  # a container has those in /dev that it may use
            return False
        return True

    def _attributes(self, entry: tarfile.TarInfo, path: Path) -> None:
        for key, value in entry.pax_headers.items():
            name = key[len(XATTR) :] if key.startswith(XATTR) else ""
            if name.startswith(KEPT_XATTRS) and not name.startswith("user.overlay."):
                with contextlib.suppress(OSError):
                    os.setxattr(path, name, value.encode("utf-8", "surrogateescape"))

    def _whiteout(self, path: Path) -> None:
        if path.name == OPAQUE:
            self._clear(path.parent)
        elif not path.name.startswith(WHITEOUT * 2):  # others are notes of a file system
            hidden = path.name[len(WHITEOUT) :]
            if hidden in ("", ".", ".."):
                raise LayerError(f"{path.name} hides nothing")
            self._hide(path.parent / hidden)

    def _hide(self, path: Path) -> None:
        if path not in self.made:
            _remove(path)
        elif _is_folder(path):
            self._clear(path)

    def _clear(self, folder: Path) -> None:
        for path in list(folder.iterdir()):
            self._hide(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def users_of(passwd: str, group: str, user: str) -> tuple[int, int, list[int]]:
    """User id, group id and further groups of ``USER[:GROUP]``, by the texts of passwd(5) and group(5).

    Raises LayerError for a name that is not there.
    """
    name, _, group_name = user.partition(":")
    accounts = [row.split(":") for row in passwd.splitlines() if row.count(":") >= 3]
    groups = [row.split(":") for row in group.splitlines() if row.count(":") >= 2]
    uid = gid = 0
    account = next((row for row in accounts if name in (row[0], row[2])), None)
    if account is not None:
        uid, gid = int(account[2]), int(account[3])
    elif name.isdecimal():
        uid = int(name)
    elif name:
        raise LayerError(f"it has no user {name}")
    if group_name:
        chosen = next((row for row in groups if group_name in (row[0], row[2])), None)
        if chosen is None and not group_name.isdecimal():
            raise LayerError(f"it has no group {group_name}")
        gid = int(chosen[2]) if chosen is not None else int(group_name)
        return uid, gid, []
    mine = account[0] if account is not None else name
    further = [int(row[2]) for row in groups if len(row) > 3 and mine in row[3].split(",")]
    return uid, gid, [number for number in further if number != gid]


def look_up(user: str) -> tuple[int, int, list[int]]:
    """``users_of`` with the files in the root folder of this process."""
    texts = []
    for path in ("/etc/passwd", "/etc/group"):
        try:
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                texts.append(file.read(1 << 20))
        except OSError:
            texts.append("")
    return users_of(texts[0], texts[1], user)


def inside(
    folder: str,
    users: int | None,
    job: Callable[[], Any],
    kept: Iterable[int] = (),
    started: Callable[[], object] = lambda: None,
) -> Any:
    """What ``job`` returns, as JSON, in a process whose root is ``folder`` and which has no rights elsewhere.

    ``users``: the user namespace to be root of; None: a new one, of the caller's only id. ``kept``:
    descriptors for the job. ``started`` is called here when it runs. Raises LayerError with the
    message of its error.
    """
    answer, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            _confine(folder, users, {said, *kept})
            text = json.dumps({"done": job()})
        except BaseException as error:
            text = json.dumps({"error": str(error) or repr(error)})
        with contextlib.suppress(BaseException), os.fdopen(said, "w") as file:
            file.write(text)
        os._exit(0)
    os.close(said)
    started()
    with os.fdopen(answer) as file:
        text = file.read()
    os.waitpid(child, 0)
    result = json.loads(text or '{"error": "the process that unpacks has ended"}')
    if "error" in result:
        raise LayerError(str(result["error"]))
    return result["done"]


def _confine(folder: str, users: int | None, kept: set[int]) -> None:
    """Leave the caller with this folder and these descriptors."""
    if users is None:
        uid, gid = os.geteuid(), os.getegid()
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    os.chroot(folder)
    os.chdir("/")
    if users is not None:
        syscalls.setns(users, syscalls.CLONE_NEWUSER)
        with contextlib.suppress(OSError):
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    open_ones = sorted(kept)
    for low, high in zip([-1, *open_ones], [*open_ones, 1 << 20], strict=True):
        os.closerange(low + 1, high)
