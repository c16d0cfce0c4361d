"""From a path to a resolved topology: the only module of this package that reads topology files."""

from __future__ import annotations

import os
from os import PathLike
from typing import TYPE_CHECKING

from topologies import untrusted
from topologies.importers import registry
from topologies.model.topology import Topology
from topologies.syntax.problem import Path, Report, shown

if TYPE_CHECKING:
    from topologies.syntax.specification import File

MAX_BYTES = 4 * 1024 * 1024
MAX_SCRIPT_BYTES = 512 * 1024
MOST_FILES = 200


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
    importer = registry.importer_of(file, raw)
    from topologies.resolve import phases
    from topologies.syntax import check, document

    report = Report(file)
    try:
        if importer is not None:
            root = importer.read(raw, report)
        else:
            root = document.read(document.decode(raw, report), report)
        report.locate = root.at
        spec = check.check(root, report)
        files = _files(spec, file, report)
        folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - may hold a NUL
        return phases.resolve(spec, report.known(), files, running, folder)
    except document.Fatal:
        report.check()
        raise AssertionError("a fatal problem was not reported") from None


def _files(spec: File, beside: str, report: Report) -> dict[str, bytes]:
    """Name -> content of the files that functions name, relative to the topology file ``beside``.

    A file that cannot be read is reported and left out.
    """
    from topologies.syntax.service_specification import takes

    named: list[tuple[Path, str]] = []
    for name, function in (spec.functions or {}).items():
        if function.file is not None and takes(function.kind, "file"):
            named.append((("functions", name, "file"), function.file))
        for index, file in enumerate(function.files or () if takes(function.kind, "files") else ()):
            if file is not None:
                named.append((("functions", name, "files", index), file))
    contents: dict[str, bytes] = {}
    broken: set[str] = set()
    for path, file in named[:MOST_FILES]:
        if file in contents:
            continue
        before = len(report.problems)
        where = os.path.join(os.path.dirname(beside), file)  # noqa: PTH118, PTH120 - may hold a NUL
        raw = _read(where, report, path, file, MAX_SCRIPT_BYTES, "a text file") if file not in broken else b""
        if len(report.problems) > before:
            broken.add(file)
        elif file not in broken:
            contents[file] = raw
    for path, _ in named[MOST_FILES:]:
        report.add(path, "too many files are named", f"up to {MOST_FILES}", "join some of them")
    return contents


def _too_big(report: Report) -> None:
    report.add((), "is too big", f"up to {untrusted.size_text(MAX_BYTES)}")


def _read(
    file: str,
    report: Report,
    path: Path = (),
    called: str = "",
    limit: int = MAX_BYTES,
    allowed: str = "",
) -> bytes:
    """The bytes of a regular file (see ``topologies.untrusted``); empty, with a problem, when it has none.

    ``path``: where the topology file names it, ``called``: its name there, ``allowed``: what it may be. All
    are empty for the topology file itself.
    """
    try:
        return untrusted.read(file, limit, allowed or registry.allowed())
    except untrusted.Unreadable as error:
        report.add(path, error.words(shown(called)) if called else error.what, error.allowed, error.remedy)
        return b""
