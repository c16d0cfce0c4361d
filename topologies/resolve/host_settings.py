"""What the file says about a host -> what is its own, and the settings of its kind. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from topologies.model.choices import CONTAINER, NAMESPACE, ROUTER, VM
from topologies.model.frr import PROTOCOLS, unknown_protocols
from topologies.model.hosts import (
    MACHINE,
    MICRO,
    Command,
    Container,
    HostFile,
    OwnThings,
    Resources,
    VirtualMachine,
)
from topologies.syntax.host_specification import HostSpec, RunSpec, host_keys
from topologies.syntax.problem import Path, Report, shown

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_OWN = frozenset(map(PurePosixPath, ("/", "/dev", "/proc", "/sys", "/run/sdnlab")))
SHELL = ("/bin/sh", "-c")


def machine(spec: HostSpec, folder: str) -> dict[str, Any]:
    """The fields of ``VmHost`` beside those of ``Host``."""
    given = {key: getattr(spec, key) for key in ("accelerator", "vcpus", "memory", "nic")}
    image = beside(folder, spec.image or MICRO, MICRO)
    return {"vm": VirtualMachine(image=image, **_set(given))}


def container(spec: HostSpec, folder: str) -> dict[str, Any]:
    """The fields of ``ContainerHost`` beside those of ``Host``."""
    image = beside(folder, spec.image or MACHINE, MACHINE)
    return {"container": Container(image=image, command=_filled(spec.command), **_limits(spec))}


def namespace(spec: HostSpec, folder: str) -> dict[str, Any]:
    """The fields of ``NamespaceHost`` beside those of ``Host``."""
    return {"resources": Resources(**_limits(spec))}


def _limits(spec: HostSpec) -> dict[str, Any]:
    return _set({key: getattr(spec, key) for key in ("cpus", "memory", "pids", "limits")})


RESOLUTIONS: dict[str, Callable[[HostSpec, str], dict[str, Any]]] = {
    NAMESPACE: namespace,
    ROUTER: namespace,
    CONTAINER: container,
    VM: machine,
}
"""Kind -> the function from the keys of a file, and the file's folder, to the fields of the kind's class."""


def settings(name: str, spec: HostSpec, folder: str, report: Report) -> dict[str, Any]:
    """The fields of a host's class that only its kind has. Keys that its kind has not are reported."""
    kind = spec.kind or NAMESPACE
    known = host_keys(kind)
    for field in spec.model_fields_set:
        key = HostSpec.model_fields[field].alias or field
        if key not in known and getattr(spec, field) is not None:
            others = [f"kind: {other}" for other in RESOLUTIONS if key in host_keys(other)]
            remedy = f"remove it, or give {name} {' or '.join(others)}" if others else "remove it"
            report.add(("hosts", name, key), f"a {kind} has no {key}", ", ".join(known), remedy)
    return RESOLUTIONS[kind](spec, folder) if kind in RESOLUTIONS else {}


def frr_file(spec: HostSpec) -> str | None:
    """The path of the file with FRR's configuration; None: it is in the topology file, or there is none.

    A path has no blanks. A block of YAML with one line comes without its line end.
    """
    text = spec.frr if spec.kind == ROUTER else None
    return text if text and len(text.split()) == 1 and "\n" not in text and "\0" not in text else None


def frr(name: str, spec: HostSpec, files: Mapping[str, bytes], report: Report) -> dict[str, Any]:
    """The field of ``RouterHost`` with FRR's configuration. ``files``: the content of those that were read.

    Problems are reported.
    """
    if spec.frr is None or spec.kind != ROUTER:
        return {}
    here: Path = ("hosts", name, "frr")
    file = frr_file(spec)
    text = spec.frr
    if file is not None:
        try:
            text = files.get(file, b"").decode("utf-8")
        except UnicodeDecodeError:
            report.add(here, f"{shown(file)} is no text in UTF-8", "a configuration of FRR")
            return {}
    if "\0" in text:
        report.add(here, "has a NUL character", "a configuration of FRR", "remove it")
        return {}
    for line, protocol in unknown_protocols(text):
        report.add(
            here,
            f"line {line}: FRR has no protocol {shown(protocol)}",
            ", ".join(f"router {word}" for word in PROTOCOLS),
            "correct the line",
        )
    return {"frr": _whole_lines(text.rstrip())}


def beside(folder: str, path: str, word: str) -> str:
    """The path of an image relative to the folder of the topology file; a ``word`` stays what it is."""
    return path if path == word else posixpath.normpath(posixpath.join(folder, path))


def _set(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _filled(words: list[str | None] | None) -> tuple[str, ...]:
    return tuple(word for word in words or () if word is not None)


def own_things(name: str, spec: HostSpec, report: Report) -> OwnThings:
    """What the host has of its own. Problems are reported."""
    here: Path = ("hosts", name)
    for variable in spec.environment or {}:
        if not _VARIABLE.fullmatch(variable):
            what = f"{shown(variable)} is no name of a variable"
            report.add((*here, "environment", variable), what, "letters, digits and '_', like EDITOR")
    files = {
        _own_path(path, (*here, "files", path), report): file for path, file in (spec.files or {}).items()
    }
    private = {
        _own_path(path, (*here, "private", index), report)
        for index, path in enumerate(spec.private or ())
        if path is not None
    }
    return OwnThings(
        hostname=spec.hostname or "",
        environment=tuple(
            sorted((key, value) for key, value in (spec.environment or {}).items() if value is not None)
        ),
        run=_commands(name, spec.run or [], report),
        files=tuple(
            HostFile(path=path, content=_whole_lines(file.content or ""), **_set({"mode": file.mode}))
            for path, file in sorted(files.items())
        ),
        private=tuple(sorted(private)),
    )


def _whole_lines(text: str) -> str:
    """A text file: its last line ends, too. (A block of YAML comes without its last line end.)"""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _own_path(text: str, where: Path, report: Report) -> str:
    """An absolute path without detours; one that a host can't have of its own is reported."""
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text or "\n" in text:
        report.add(where, f"{shown(text)} is no absolute path", "a path like /etc/motd, without '..'")
    elif path in _NOT_OWN or any(path.is_relative_to(other) for other in _NOT_OWN - {PurePosixPath("/")}):
        report.add(where, f"{text} can't be a host's own", "any other path", "choose another place")
    return str(path)


def _commands(host: str, specs: list[RunSpec], report: Report) -> tuple[Command, ...]:
    taken = {spec.name for spec in specs if spec.name is not None}
    commands: list[Command] = []
    for index, spec in enumerate(specs):
        words = _filled(spec.command)
        here: Path = ("hosts", host, "run", index)
        if not words or not words[-1].strip():
            if not report.is_broken((*here, "command")):
                report.add(here, "there is no command", "a line, or a list like [iperf3, -s]", "write one")
            continue
        if any(spec.name is not None and spec.name == other.name for other in specs[:index]):
            what = f"another command of {host} has the name {spec.name}"
            report.add((*here, "name"), what, remedy="rename one")
        name = spec.name or _free(_program(words), taken)
        taken.add(name)
        commands.append(Command(name=name, words=words, **_set({"restart": spec.restart})))
    return tuple(commands)


def _program(words: tuple[str, ...]) -> str:
    """The name of the program that the words start, as a name for the command."""
    line = words[2].split() if words[:2] == SHELL and len(words) == 3 else list(words)
    program = next((word for word in line if "=" not in word), line[0])
    return re.sub(r"[^A-Za-z0-9_.-]", "", PurePosixPath(program).name).lstrip("_.-") or "command"


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
