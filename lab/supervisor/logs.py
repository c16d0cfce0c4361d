"""The ends of a lab's logs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import PurePath

from lab.commands.output import HostLog
from lab.failure import unknown
from lab.messages.lab import LogPart
from lab.naming import RUN

_MOST = 65536
Read = Callable[[int], LogPart]
"""Reads what a log has after so many octets; a negative number: its end."""


def logs(own: int, hosts: Mapping[str, HostLog], name: str | None = None) -> dict[str, str]:
    """Name -> end of every log in the sandbox, or of one, at most 64 KiB of each. Raises NotThere.

    ``own``: a descriptor of the supervisor's, which stays the caller's. ``hosts``: those of hosts' commands.
    """
    known = _all(own, hosts)
    _check(name, known)
    return {log: read(-1)["text"] for log, read in known.items() if name in (None, log)}


def more_of(own: int, hosts: Mapping[str, HostLog], name: str, after: int) -> LogPart:
    """The part of a log after so many octets. Raises NotThere."""
    known = _all(own, hosts)
    _check(name, known)
    return known[name](after)


def _check(name: str | None, known: Mapping[str, Read]) -> None:
    if name is not None and name not in known:
        raise unknown("log", name, list(known))


def _all(own: int, hosts: Mapping[str, HostLog]) -> dict[str, Read]:
    known: dict[str, Read] = {"supervisor": lambda after: _part(os.dup(own), after)}
    for path in sorted(RUN.rglob("*.log")):
        known[name_of(path.relative_to(RUN), hosts)] = partial(_of_file, str(path))
    for host, log in hosts.items():
        known[host if host not in known else f"host/{host}"] = partial(_of_host, log)
    return known


def name_of(path: PurePath, hosts: Collection[str]) -> str:
    """The name of the log at ``path`` in the run directory. The output of a host's own command has the host's
    name, if ``hosts``, with logs of further commands, have not taken it."""
    plain = path.with_suffix("")
    if plain.parts[0] != "host" or len(plain.parts) != 3:
        return plain.as_posix()
    host = plain.parts[1].partition("@")[0]
    return host if plain.name == "command" and host not in hosts else f"{host}/{plain.name}"


def _of_host(log: HostLog, after: int) -> LogPart:
    text, end = log.since(max(0, after))
    return {"text": text if after >= 0 else text[-_MOST:], "end": end}


def _of_file(path: str, after: int) -> LogPart:
    try:
        return _part(os.open(path, os.O_RDONLY), after)
    except OSError as error:
        return {"text": f"(can't be read: {error.strerror})", "end": max(0, after)}


def _part(fd: int, after: int) -> LogPart:
    try:
        size = os.fstat(fd).st_size
        begin = max(0, size - _MOST) if after < 0 else max(min(after, size), size - _MOST)
        text = os.pread(fd, _MOST, begin)
    except OSError as error:
        return {"text": f"(can't be read: {error.strerror})", "end": max(0, after)}
    finally:
        os.close(fd)
    return {"text": text.decode(errors="replace"), "end": begin + len(text)}
