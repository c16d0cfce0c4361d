"""Files on their way between this machine and hosts, as members of a tar archive.

What a host sends is not trusted: a path that leaves its directory, a device or a set-user-ID bit does not get
through.  Symbolic links are made at last, so no later member can be written through one.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from lab.failure import Failure

CHUNK = 1 << 18
PERMISSIONS = 0o777


class End(NamedTuple):
    """What a word of the command line names: a path on a host, or on this machine (``host`` is empty)."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}:{self.path}" if self.host else self.path


class Member(NamedTuple):
    """A file, directory or link: its header, named by its path from the copied one on (``.``: the copied one
    itself), and the content of a file."""

    header: tarfile.TarInfo
    content: IO[bytes] | None = None


class Copied:
    """What has been copied so far. ``tell`` is called with each change."""

    def __init__(self, tell: Callable[[Copied], None] = lambda copied: None) -> None:
        self.files = 0
        self.octets = 0
        self.skipped: list[str] = []
        self.name = ""
        self._tell = tell

    def begin(self, name: str) -> None:
        """A file or directory is next."""
        self.name = name
        self._tell(self)

    def add(self, octets: int) -> None:
        """Some of its content was copied."""
        self.octets += octets
        self._tell(self)


def parse(word: str) -> End:
    """``h1:/etc/hosts`` or a path here. As with scp(1), a path with a colon begins with ``./`` or ``/``."""
    host, colon, path = word.partition(":")
    if not colon or "/" in host or not host:
        return End("", word)
    return End(host, path)


def in_host(path: str) -> str:
    """A path in a host as an absolute one: others begin at the home of its root."""
    return posixpath.normpath(posixpath.join("/root", path)) if path else "/root"


def base_name(end: End) -> str:
    """The name that a copy of it has in a directory: empty for the root directory."""
    if end.host:
        return posixpath.basename(in_host(end.path))
    path = Path(end.path)
    return path.name if path.name not in ("", "..") else path.resolve().name


def local_members(path: Path) -> Iterator[Member]:
    """What is at ``path`` here, directories before their content. Raises Failure."""
    try:
        if not path.is_dir():
            yield from _local(path, ".", follow=True)
            return
        # ``..`` and links to directories are followed here, but nowhere below
        yield from _local(path, ".", follow=True)
        for folder, directories, files in os.walk(path, onerror=_refuse):
            directories.sort()
            inside = Path(folder)
            for name in sorted(files) + [one for one in directories if (inside / one).is_symlink()]:
                yield from _local(inside / name, str((inside / name).relative_to(path)))
            for name in directories:
                if not (inside / name).is_symlink():
                    yield from _local(inside / name, str((inside / name).relative_to(path)))
    except OSError as error:
        raise _failure(error, path) from None


def _refuse(error: OSError) -> None:
    raise error


def _local(path: Path, name: str, follow: bool = False) -> Iterator[Member]:
    status = path.stat() if follow else path.lstat()
    header = tarfile.TarInfo(name)
    header.mode = stat.S_IMODE(status.st_mode) & PERMISSIONS
    header.mtime = int(status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as content:
            header.size = os.fstat(content.fileno()).st_size
            yield Member(header, content)
        return
    if stat.S_ISDIR(status.st_mode):
        header.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        header.type = tarfile.SYMTYPE
        header.linkname = str(path.readlink())
    else:
        header.type = tarfile.FIFOTYPE  # of no use elsewhere: it is left out
    yield Member(header)


def _failure(error: OSError, path: Path) -> Failure:
    return Failure(f"{error.filename or path}: {error.strerror or error}")


def archived_members(stream: IO[bytes], copied: str) -> Iterator[Member]:
    """The members of an archive that a host sends of the file or directory ``copied`` (its name there).

    Raises tarfile.TarError for what is no archive, or ends too early.
    """
    prefix = f"./{copied}" if copied else "."
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for header in archive:
            name = posixpath.normpath("./" + header.name.rstrip("/"))
            inside = posixpath.relpath(name, posixpath.normpath(prefix))
            if inside == ".." or inside.startswith("../") or header.name.startswith("/"):
                raise tarfile.TarError(f"it sent {header.name!r}, which was not asked for")
            if header.islnk():
                target = posixpath.relpath(
                    posixpath.normpath("./" + header.linkname), posixpath.normpath(prefix)
                )
                header.linkname = target
            header.name = inside
            yield Member(header, archive.extractfile(header) if header.isreg() else None)


def send(members: Iterator[Member], stream: IO[bytes], name: str, copied: Copied) -> None:
    """Write members as an archive, the copied one with the name ``name``. Raises OSError and TarError."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT, bufsize=CHUNK) as archive:
        for header, content in members:
            shown = posixpath.normpath(posixpath.join(name, header.name))
            copied.begin(shown)
            if not (header.isreg() or header.isdir() or header.issym() or header.islnk()):
                copied.skipped.append(shown)
                continue
            header.name = "./" + shown
            if header.islnk():
                header.linkname = "./" + posixpath.normpath(posixpath.join(name, header.linkname))
            header.mode &= PERMISSIONS
            header.uid = header.gid = 0
            header.uname = header.gname = "root"
            archive.addfile(header, _Counted(content, header.size, copied) if content is not None else None)
            copied.files += header.isreg()


class _Counted:
    """Reads exactly ``size`` octets of a file, for tarfile; a file that shrinks is an error."""

    def __init__(self, content: IO[bytes], size: int, copied: Copied) -> None:
        self._content = content
        self._left = size
        self._copied = copied

    def read(self, size: int = -1) -> bytes:
        """The next octets."""
        data = self._content.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        self._copied.add(len(data))
        return data


def receive(members: Iterator[Member], target: Path, copied: Copied) -> None:
    """Write members here, the copied one at ``target``. Files get their names when they are complete.

    Raises Failure, and what ``members`` raises.
    """
    links: list[tuple[Path, str]] = []
    directories: list[tuple[Path, int]] = []
    try:
        for header, content in members:
            path = target if header.name == "." else target / header.name
            copied.begin(str(path))
            _no_link_between(target, header.name)
            mode = header.mode & PERMISSIONS
            if content is not None:
                _write(path, content, header, copied)
                copied.files += 1
            elif header.isdir():
                if path.is_symlink() and path != target:
                    raise Failure(f"{path} is a symbolic link here, and a directory there")
                path.mkdir(0o700, exist_ok=True)
                directories.append((path, mode))
            elif header.issym():
                links.append((path, header.linkname))
            elif header.islnk() and ".." not in header.linkname.split("/"):
                first = target / header.linkname
                _no_link_between(target, header.linkname)
                with first.open("rb") as again:
                    _write(path, again, header, copied)
                copied.files += 1
            else:
                copied.skipped.append(str(path))
        for path, goal in links:
            with suppress(FileNotFoundError):
                path.unlink()
            path.symlink_to(goal)
        for path, mode in reversed(directories):
            path.chmod(mode)
    except OSError as error:
        raise _failure(error, target) from None


def _no_link_between(target: Path, name: str) -> None:
    """What a host sends must not be written through a symbolic link that leads elsewhere."""
    path = target
    for part in Path(name).parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise Failure(f"{path} is a symbolic link here, and a directory there")


def _write(path: Path, content: IO[bytes], header: tarfile.TarInfo, copied: Copied) -> None:
    if path.exists() and not path.is_file():
        kind = "directory" if path.is_dir() else "device or the like"
        raise Failure(f"{path} is a {kind}, and the copied one is a file")
    handle, part = tempfile.mkstemp(prefix=f".{path.name[:200]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            while data := content.read(CHUNK):
                file.write(data)
                copied.add(len(data))
            os.fchmod(file.fileno(), header.mode & PERMISSIONS)
        os.utime(part, (header.mtime, header.mtime))
        Path(part).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(part).unlink()
        raise
