"""From a path to a resolved topology: the only module of this package that reads topology files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

from topologies import untrusted
from topologies.importers import registry
from topologies.importers.beside import Content
from topologies.model.topology import Topology
from topologies.syntax.problem import Path, Report, shown

if TYPE_CHECKING:
    from topologies.syntax.specification import File

MAX_BYTES = 4 * 1024 * 1024
MAX_SCRIPT_BYTES = 512 * 1024
MOST_FILES = 200
MOST_BESIDE = 2000
"""Files beside a file of another tool that are read."""


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
    from topologies.syntax import check, document, specification

    report = Report(file)
    try:
        if importer is not None:
            root = importer.read(raw, report, _Folder(file))
        else:
            root = document.read(document.decode(raw, report), report)
            if isinstance(root.value, dict) and not root.value.keys() & set(specification.keys_at(())):
                what, remedy = "none of its keys is one of a topology file", "see sdnlab convert --help"
                report.add((), what, registry.allowed(), remedy, line=root.line)
        report.locate = root.at
        spec = check.check(root, report)
        files = _files(spec, file, report)
        _check_apps(spec, file, report)
        folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - may hold a NUL
        topology = phases.resolve(spec, report.known(), files, running, folder)
        return topology.model_copy(update={"notes": report.sorted_notes()}) if report.notes else topology
    except document.Fatal:
        report.check()
        raise AssertionError("a fatal problem was not reported") from None


def _files(spec: File, beside: str, report: Report) -> dict[str, bytes]:
    """Name -> content of the files that functions and routers name, relative to the topology file ``beside``.

    A file that cannot be read is reported and left out.
    """
    from topologies.resolve.host_settings import frr_file
    from topologies.syntax.service_specification import takes

    named: list[tuple[Path, str]] = []
    for name, function in (spec.functions or {}).items():
        if function.file is not None and takes(function.kind, "file"):
            named.append((("functions", name, "file"), function.file))
        for index, file in enumerate(function.files or () if takes(function.kind, "files") else ()):
            if file is not None:
                named.append((("functions", name, "files", index), file))
    for name, host in (spec.hosts or {}).items():
        if file := frr_file(host):
            named.append((("hosts", name, "frr"), file))
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


class _Folder:
    """The folder of a topology file, for importers (``topologies.importers.beside.Beside``). A symbolic link
    that leads out of it is not followed."""

    def __init__(self, file: str) -> None:
        self._path = os.path.dirname(file) or "."  # noqa: PTH120 - may hold a NUL
        self.name = "" if "\0" in file else os.path.basename(os.path.abspath(self._path))  # noqa: PTH100, PTH119
        self._reads = 0
        self._listed: dict[str, tuple[str, ...]] = {}

    def read(self, name: str) -> Content:
        """The content of a regular file."""
        where = os.path.join(self._path, name)  # noqa: PTH118 - may hold a NUL
        if "\0" in where or not os.path.lexists(where):
            return Content(problem="is not there", there=False)
        if not self._holds(where):
            return Content(problem="is a link out of the folder of this file")
        self._reads += 1
        if self._reads > MOST_BESIDE:
            return Content(problem=f"is one of more than {MOST_BESIDE} files")
        try:
            return Content(untrusted.read(where, MAX_SCRIPT_BYTES, "a text file"))
        except untrusted.Unreadable as error:
            return Content(problem=error.words("").strip(": "))

    def files(self, folder: str) -> tuple[str, ...]:
        """The names of all regular files in a folder and in those inside it, relative to it, sorted."""
        if folder not in self._listed:
            where = os.path.join(self._path, folder)  # noqa: PTH118 - may hold a NUL
            known = "\0" not in where and os.path.isdir(where) and self._holds(where)  # noqa: PTH112
            self._listed[folder] = tuple(sorted(_regular_files(where))) if known else ()
        return self._listed[folder]

    def _holds(self, where: str) -> bool:
        """Whether a path is in the folder, after all symbolic links."""
        top, real = os.path.realpath(self._path), os.path.realpath(where)
        return real == top or real.startswith(top.rstrip("/") + "/")


def _regular_files(folder: str) -> Iterator[str]:
    """The first ``MOST_BESIDE`` regular files of a folder, relative to it."""
    count = 0
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > MOST_BESIDE:
                return
            yield os.path.relpath(os.path.join(path, name), folder)  # noqa: PTH118


def _check_apps(spec: File, beside: str, report: Report) -> None:
    """Report apps of controllers that can't be read. Their own process reads them again."""
    from topologies.resolve import applications

    for path, app in applications.files(spec)[:MOST_FILES]:
        where = os.path.join(os.path.dirname(beside), app)  # noqa: PTH118, PTH120 - may hold a NUL
        _read(where, report, path, app, MAX_SCRIPT_BYTES, "a Python file with a Ryu app")


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
