"""From a path to a resolved topology: the one place in this package that touches a file."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike
from typing import TYPE_CHECKING

from topologies.model import Topology
from topologies.problem import Path, Report, shown

if TYPE_CHECKING:
    from topologies.spec import File

MAX_BYTES = 4 * 1024 * 1024
MAX_SCRIPT_BYTES = 512 * 1024
MOST_FILES = 200
_XML_SUFFIXES = (".graphml", ".xml")

_REMEDIES = {
    errno.ENOENT: ("there is no such file", "check the name"),
    errno.ENOTDIR: ("a part of the path is not a directory", "check the name"),
    errno.EACCES: ("may not be read", "check the permissions (chmod +r)"),
    errno.EPERM: ("may not be read", "check the permissions (chmod +r)"),
    errno.ELOOP: ("symbolic links go round in a circle", "check the links"),
    errno.ENAMETOOLONG: ("the name is too long", "check the name"),
}
_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def load(path: str | PathLike[str], running: Topology | None = None) -> Topology:
    """See ``topologies.load``."""
    file = os.fspath(path)
    report = Report(file)
    raw = _read(file, report)
    report.check()
    return loads(raw, file, running)


def loads(raw: bytes, file: str, running: Topology | None = None) -> Topology:
    """See ``topologies.loads``."""
    if len(raw) > MAX_BYTES:
        report = Report(file)
        _too_big(report)
        report.check()
    xml = file.lower().endswith(_XML_SUFFIXES) or raw.lstrip()[:8].startswith((b"<?xml", b"<graphml"))
    from topologies import check, document, graphml, resolve

    report = Report(file)
    try:
        root = graphml.read(raw, report) if xml else document.read(document.decode(raw, report), report)
        report.locate = root.at
        spec = check.check(root, report)
        return resolve.resolve(spec, report, _files(spec, file, report), running)
    except document.Fatal:
        report.check()
        raise AssertionError("a fatal problem was not reported") from None


def _files(spec: File, beside: str, report: Report) -> dict[str, bytes]:
    """The files that functions name, as seen from the topology file; what can't be read is reported."""
    named: list[tuple[Path, str]] = []
    for name, function in (spec.functions or {}).items():
        if function.file is not None and function.kind == "python":
            named.append((("functions", name, "file"), function.file))
        for index, file in enumerate(function.files or () if function.kind == "ids" else ()):
            if file is not None:
                named.append((("functions", name, "files", index), file))
    found: dict[str, bytes] = {}
    broken: set[str] = set()
    for path, file in named[:MOST_FILES]:
        if file in found:
            continue
        before = len(report.problems)
        where = os.path.join(os.path.dirname(beside), file)  # noqa: PTH118, PTH120 - may hold a NUL
        raw = _read(where, report, path, file, MAX_SCRIPT_BYTES, "a text file") if file not in broken else b""
        if len(report.problems) > before:
            broken.add(file)
        elif file not in broken:
            found[file] = raw
    for path, _ in named[MOST_FILES:]:
        report.add(path, "too many files are named", f"up to {MOST_FILES}", "join some of them")
    return found


def _too_big(report: Report, path: Path = (), of: str = "", limit: int = MAX_BYTES) -> None:
    size = f"{limit // 1024 // 1024} MB" if limit >= 1024 * 1024 else f"{limit // 1024} kB"
    report.add(path, f"{of}is too big", f"up to {size}")


def _read(
    file: str,
    report: Report,
    path: Path = (),
    called: str = "",
    limit: int = MAX_BYTES,
    allowed: str = "a YAML or GraphML file",
) -> bytes:
    """The bytes of a regular file; nothing that could block or have effects is opened.

    ``path``: where the file is named, ``called``: how; nothing for the topology file itself.
    """
    of = f"{shown(called)} " if called else ""
    try:
        mode = os.stat(file).st_mode  # noqa: PTH116
        if not stat.S_ISREG(mode):
            what = next((text for test, text in _KINDS if test(mode)), "is not a regular file")
            report.add(path, of + what, allowed)
            return b""
        # It may have been replaced since: not blocking costs nothing
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        what, remedy = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
        report.add(path, f"{of[:-1]}: {what}" if of else what, remedy=remedy)
        return b""
    except ValueError:  # a NUL in the name
        report.add(path, f"{shown(called or file)} cannot be a file's name", remedy="check the name")
        return b""
    if len(raw) > limit:
        _too_big(report, path, of, limit)
    return raw
