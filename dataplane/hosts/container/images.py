"""What a container's image is: the machine's own files, a directory, or an OCI image layout.

A layout is unpacked once into a folder of the cache, which is named by the image's digest and by the hosts'
root: its files belong to ids that the lab's hosts have.  The folder is complete or not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.hosts import users
from dataplane.hosts.container.bundle import ROOT_USER, User
from dataplane.hosts.container.layers import Layer, LayerError, inside, look_up
from dataplane.hosts.container.layout import (
    Blob,
    Layout,
    LayoutError,
    Manifest,
    is_layout,
    manifest,
    open_layout,
)
from dataplane.hosts.container.rootfs import MACHINE
from dataplane.hosts.driver import HostError, Say
from dataplane.images import cache
from dataplane.images.errors import ImageError
from linux import syscalls

FOLDER = "oci"
"""The folder in the cache of images."""
DESCRIPTION = "image.json"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
FORMS = "image: machine, a directory, an OCI image layout or its tar archive"
UNPACKED = ".unpacked-"
SHORT = 12
"""Digits of an image's digest in its short name."""


@dataclass(frozen=True)
class Image:
    """An image that can be run. ``root``: ``machine``, or a directory; the rest is used where the topology
    says nothing. ``shift``: files of the machine's root belong to the container's. ``notes``: what is
    different from the image. ``kept``: its folder in the cache, if it is there, which ``hold`` keeps."""

    root: str
    shift: bool = False
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    folder: str = "/"
    user: User = ROOT_USER
    notes: tuple[str, ...] = ()
    kept: Path | None = None

    def hold(self) -> int:
        """Keep the image in the cache as long as the returned descriptor is open; -1: there is nothing to
        keep. Raises OSError when it is gone."""
        if self.kept is None:
            return -1
        fd = os.open(self.kept, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd


def prepare(image: str, say: Say) -> None:
    """Make what ``unpacked`` takes. Raises HostError."""
    if image == MACHINE:
        return
    path, name = _named(image)
    if not is_layout(path):
        return
    with _explained(image), open_layout(path) as layout, hosts_users() as (owner, namespace):
        wanted = manifest(layout, name)
        folder = cache.root() / FOLDER
        target = folder / _key(wanted, owner)
        if (target / DESCRIPTION).exists():
            return
        with cache.locked(folder, target.name, say):
            if not (target / DESCRIPTION).exists():
                unpack_layers(layout, wanted, namespace, target, say, image)


def unpacked(image: str, owner: int = 0) -> Image:
    """The image as it can be run. ``owner``: the id that the hosts' root has in the lab.

    Raises HostError when it is not there.
    """
    if image == MACHINE:
        return Image(MACHINE, folder="/root")
    path, name = _named(image)
    if not is_layout(path):
        return Image(path, shift=True)
    with _explained(image), open_layout(path) as layout:
        target = cache.root() / FOLDER / _key(manifest(layout, name), owner)
        try:
            told = json.loads((target / DESCRIPTION).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise HostError(f"the image {image} is not unpacked", "start the lab, or apply, again") from None
    return Image(
        str(target / "rootfs"),
        command=tuple(told["command"]),
        environment=tuple((key, value) for key, value in told["environment"]),
        folder=told["folder"],
        user=User(told["user"]["uid"], told["user"]["gid"], tuple(told["user"]["groups"])),
        notes=tuple(told["notes"]),
        kept=target,
    )


class Kept(NamedTuple):
    """An unpacked image in the cache: its folder, the bytes of its files, and what a topology called it, if
    that is known."""

    folder: Path
    size: int
    source: str

    @property
    def name(self) -> str:
        """A short name: the beginning of the image's digest."""
        return self.folder.name[: len("sha256-") + SHORT]


def kept() -> list[Kept]:
    """The unpacked images in the cache. Raises ImageError when there can't be a cache."""
    folder = cache.root() / FOLDER
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [Kept(entry, _size(entry), _source(entry)) for entry in entries if (entry / DESCRIPTION).exists()]


def remove(name: str, say: Say) -> int:
    """Remove an unpacked image, in all its forms; the bytes that are free now.

    Raises ImageError if there is none of this name, or a container uses it.
    """
    folder = cache.root() / FOLDER
    those = [one for one in kept() if one.name == name]
    if not those:
        raise ImageError(f"there is no image named {name!r} in {folder}", "see: sdnlab image list")
    freed = 0
    for one in those:
        with cache.locked(folder, one.folder.name, say):
            if not cache.remove_version(one.folder):
                raise ImageError(
                    f"the image {name} is used by a container of a running lab", "sdnlab down LAB"
                )
            freed += one.size
    return freed


def _source(folder: Path) -> str:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return str(told.get("source", ""))
    return ""


def _size(folder: Path) -> int:
    """The bytes of all files in it, as far as the caller may look. A file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                info = Path(where, name).lstat()
                seen[info.st_dev, info.st_ino] = info.st_size
    return sum(seen.values())


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``config`` of an image configuration says, as fields of ``Image``. What has a wrong type is
    left out."""
    words = [word for key in ("Entrypoint", "Cmd") for word in config.get(key) or [] if isinstance(word, str)]
    variables = [word.partition("=") for word in config.get("Env") or [] if isinstance(word, str)]
    folder = config.get("WorkingDir")
    return {
        "command": words,
        "environment": [[name, value] for name, _, value in variables if name],
        "folder": folder if isinstance(folder, str) and folder.startswith("/") else "/",
    }


@contextlib.contextmanager
def hosts_users() -> Iterator[tuple[int, int | None]]:
    """The id on the machine of the hosts' root, and their user namespace as it will be in a lab; for an
    ordinary user 0 and None: files can have that user's id alone."""
    if os.geteuid() != 0 or not _may_map():
        yield 0, None
        return
    namespace = users.create()
    try:
        yield _root_of(namespace), namespace
    finally:
        os.close(namespace)


def _may_map() -> bool:
    return Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]


def _root_of(namespace: int) -> int:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            syscalls.setns(namespace, syscalls.CLONE_NEWUSER)
            os.write(tell, Path("/proc/self/uid_map").read_text().split()[1].encode())
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text or 0)


def _named(image: str) -> tuple[str, str]:
    """Path and name of ``PATH[:NAME]``. Raises HostError when there is nothing."""
    if Path(image).exists():
        return image, ""
    path, _, name = image.rpartition(":")
    if path and Path(path).exists() and name:
        return path, name
    raise HostError(f"there is no image {image}", FORMS)


@contextlib.contextmanager
def _explained(image: str) -> Iterator[None]:
    """Turn what is wrong with an image into a HostError."""
    try:
        yield
    except (LayoutError, LayerError) as error:
        raise HostError(f"the image {image} can't be used: {error}", FORMS) from None
    except ImageError as error:
        raise HostError(error.what, error.remedy) from None


def _key(wanted: Manifest, owner: int) -> str:
    algorithm, _, number = wanted.digest.partition(":")
    return f"{algorithm}-{number[:40]}-{owner}"


def unpack_layers(
    layout: Layout, wanted: Manifest, namespace: int | None, target: Path, say: Say, source: str = ""
) -> None:
    """Unpack the image's layers into ``target``, which is there when all of it is. ``source``: what the
    topology calls it."""
    folder = target.parent
    for left in folder.glob(f"{UNPACKED}{target.name}-*"):
        _delete(left)
    shutil.rmtree(target, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{UNPACKED}{target.name}-", dir=folder))
    try:
        root = work / "rootfs"
        root.mkdir(mode=0o755)
        if namespace is not None:
            owner = _root_of(namespace)
            os.chown(root, owner, owner)
        notes = []
        for number, (blob, plain) in enumerate(zip(wanted.layers, wanted.diff_ids, strict=True), 1):
            say(f"unpacking layer {number} of {len(wanted.layers)}, {blob.size / 1e6:.1f} MB")
            devices, owners = _apply(layout, blob, plain, root, namespace)
            if devices:
                notes.append(f"{devices} device nodes of layer {number} are left out")
            if owners:
                notes.append(f"{owners} files of layer {number} belong to root: their owners have no id here")
        told = settings(wanted.config)
        named = wanted.config.get("User")
        uid, gid, groups = inside(str(root), namespace, lambda: look_up(named)) if named else (0, 0, [])
        if namespace is None and uid:
            notes.append(f"its processes run as root, not as {named}: an ordinary user's lab has one id")
            uid, gid, groups = 0, 0, []
        told |= {"user": {"uid": uid, "gid": gid, "groups": list(groups)}, "notes": notes}
        told["source"] = source
        (work / DESCRIPTION).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        work.rename(target)
    finally:
        _delete(work)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _apply(layout: Layout, blob: Blob, plain: str, root: Path, namespace: int | None) -> tuple[int, int]:
    """Apply a layer; how many devices were left out, and owners not kept. Raises LayoutError, LayerError."""
    source, sink = os.pipe()
    failure: list[Exception] = []
    most = shutil.disk_usage(root).free

    def feed() -> None:
        algorithm, _, number = plain.partition(":")
        check, size = hashlib.new(algorithm), 0
        try:
            with os.fdopen(sink, "wb") as pipe:
                for chunk in decompressed(layout.chunks(blob)):
                    size += len(chunk)
                    if size > most:
                        raise LayoutError(f"{blob.digest} is larger than the free space, {most / 1e6:.0f} MB")
                    check.update(chunk)
                    pipe.write(chunk)
            if check.hexdigest() != number:
                raise LayoutError(f"the content of {blob.digest} is not what the configuration names")
        except BrokenPipeError:
            pass  # the other side says why
        except (LayoutError, OSError, zlib.error) as error:
            failure.append(
                error if isinstance(error, LayoutError) else LayoutError(f"{blob.digest}: {error}")
            )

    def job() -> list[int]:
        layer = Layer()
        with os.fdopen(source, "rb") as stream:
            layer.apply(stream)
            while stream.read(1 << 16):  # what follows the archive's end
                pass
        return [layer.devices, layer.owners]

    # The thread begins when the child has been forked: it has one thread, and not the pipe's other end.
    thread = threading.Thread(target=feed, daemon=True)
    try:
        devices, owners = inside(str(root), namespace, job, [source], thread.start)
    except LayerError:
        os.close(source)
        thread.join()
        if failure:
            raise failure[0] from None
        raise
    os.close(source)
    thread.join()
    if failure:
        raise failure[0]
    return devices, owners


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The plain bytes of gzip (RFC 1952), zstd (RFC 8878) or plain ones. Raises LayoutError, zlib.error."""
    first = next(chunks, b"")
    while len(first) < 4 and (more := next(chunks, b"")):
        first += more

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    if first.startswith(GZIP):
        yield from _gunzipped(whole())
    elif first.startswith(ZSTD):
        yield from _by_program(["zstd", "-dc"], whole())
    else:
        yield from whole()


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    most = 1 << 20
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:  # of one member: RFC 1952, 2.2
                member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            yield member.decompress(rest, most)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        yield member.flush()
        if not member.eof:
            raise LayoutError("a layer ends too early")


def _by_program(words: list[str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        program = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        remedy = f"install it: sudo apt-get install {words[0]}"
        raise LayoutError(
            f"a layer is compressed with {words[0]}, which is not installed; {remedy}"
        ) from None
    assert program.stdin is not None and program.stdout is not None
    stdin, failure = program.stdin, []

    def feed() -> None:
        try:
            with contextlib.suppress(BrokenPipeError), stdin:
                for chunk in chunks:
                    stdin.write(chunk)
        except LayoutError as error:
            failure.append(error)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        with program.stdout as output:
            while chunk := output.read(1 << 20):
                yield chunk
        thread.join()
        if failure:
            raise failure[0]
        if program.wait() != 0:
            raise LayoutError(f"a layer can't be decompressed by {words[0]}")
    finally:
        program.kill()
        program.wait()
