"""From a path to a resolved topology: the one place in this package that touches a file."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike
from pathlib import Path

from topologies.model import Topology
from topologies.problem import Report, shown

MAX_BYTES = 4 * 1024 * 1024
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


def load(path: str | PathLike[str]) -> Topology:
    """See ``topologies.load``."""
    file = os.fspath(path)
    report = Report(file)
    raw = _read(file, report)
    report.check()
    return loads(raw, file)


def loads(raw: bytes, file: str) -> Topology:
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
        return resolve.resolve(spec, report)
    except document.Fatal:
        report.check()
        raise AssertionError("a fatal problem was not reported") from None


def _too_big(report: Report) -> None:
    report.add((), "is too big", f"up to {MAX_BYTES // 1024 // 1024} MB")


def _read(file: str, report: Report) -> bytes:
    """The bytes of a regular file; nothing that could block or have effects is opened."""
    try:
        mode = Path(file).stat().st_mode
        if not stat.S_ISREG(mode):
            what = next((text for test, text in _KINDS if test(mode)), "is not a regular file")
            report.add((), what, "a YAML or GraphML file")
            return b""
        # It may have been replaced since: not blocking costs nothing
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        what, remedy = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
        report.add((), what, remedy=remedy)
        return b""
    except ValueError:  # a NUL in the name
        report.add((), f"{shown(file)} cannot be a file's name", remedy="check the name")
        return b""
    if len(raw) > MAX_BYTES:
        _too_big(report)
    return raw
