"""Runs the code of a topology in Python where it can harm nothing, and describes the topology as JSON.

The process is in a sandbox: no network, all files read-only, no devices, no capability; its time and memory
are limited.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mininet import net, topo, util

from dataplane.mininet_scripts import private_files
from linux import syscalls

SECONDS = 15
"""Limit of the code's time on a processor."""
MEMORY = 2 << 30
LARGEST = 4 << 20
"""Limit in bytes of the description."""
_MODULE = "topology"


class NotOne(Exception):
    """There is no topology that the user could mean; the message says why, ``remedy`` what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


def main(file: str, name: str, words: Sequence[str], status_fd: int) -> None:
    """Describe the topology, and say it on ``status_fd``.

    That is a JSON object with ``described``, or with ``failed`` and ``remedy``.
    """
    status = socket.socket(fileno=status_fd)
    status.recv(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    folder = str(Path(file).resolve().parent)
    _close(folder)
    try:
        answer: dict[str, Any] = {"described": describe(file, name, words)}
    except NotOne as why:
        answer = {"failed": str(why), "remedy": why.remedy}
    except BaseException as error:
        answer = {"failed": _told(error, file), "remedy": ""}
    text = json.dumps(answer).encode()
    if len(text) > LARGEST:
        text = json.dumps({"failed": "the topology is too large", "remedy": "at most 4 MiB as JSON"}).encode()
    status.sendall(text + b"\n")


def _close(folder: str) -> None:
    """Give up all with which the code could harm."""
    private_files.mount(private_files.plan([folder, sys.prefix, sys.base_prefix], os.geteuid() == 0), False)
    syscalls.make_unchangeable("/", syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))
    syscalls.forbid_new_privileges()
    syscalls.keep_capabilities(frozenset())


def _told(error: BaseException, file: str) -> str:
    """What the code failed at, with its line in the file."""
    if isinstance(error, SyntaxError):
        return f"{file}:{error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f"{file}:{lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"[:1000]


def describe(file: str, name: str, words: Sequence[str]) -> dict[str, Any]:
    """What the topology ``name`` (empty: the only one) in the file has, made with arguments (``3``, ``k=4``).

    It runs the code. Raises NotOne, and whatever the code raises.
    """
    lines = _Lines(file, topo)
    net.Mininet.__init__ = _refuse
    for module in [module for module in sys.modules if module.partition(".")[0] in _OURS]:
        del sys.modules[module]
    sys.path.insert(0, str(Path(file).resolve().parent))
    sys.dont_write_bytecode = True
    space: dict[str, Any] = {"__name__": _MODULE, "__file__": file, "__builtins__": __builtins__}
    exec(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True), space)
    makers = _makers(space, topo.Topo)
    if name in space and isinstance(space[name], type) and issubclass(space[name], topo.Topo):
        makers.setdefault(name, space[name])  # a class beside the dictionary topos
    if name and name not in makers:
        raise NotOne(f"{file} has no topology {name!r}", _listed(file, makers))
    if not name and len(makers) != 1:
        what = "several topologies" if makers else "no topology: neither a dictionary topos nor a class Topo"
        raise NotOne(f"{file} has {what}", _listed(file, makers))
    chosen = name or next(iter(makers))
    _, arguments, named = util.splitArgs(",".join(["", *words]))
    topology = makers[chosen](*arguments, **named)
    if not isinstance(topology, topo.Topo):
        raise NotOne(
            f"{chosen} makes no Topo, but a {type(topology).__name__}", "return an object of a class Topo"
        )
    return _description(chosen, topology, lines)


_OURS = ("controller", "lab", "nfv", "topologies", "wire")


def _refuse(*_args: Any, **_params: Any) -> None:
    raise NotOne(
        "it makes its network itself, by Mininet(...)",
        "run the whole script: sdnlab mininet FILE; or move that below: if __name__ == '__main__'",
    )


def _listed(file: str, makers: Mapping[str, object]) -> str:
    if not makers:
        return f"a script that makes Mininet(...) itself runs by: sdnlab mininet {file}"
    return "name one: " + ", ".join(f"{file}:{name}" for name in makers)


def _makers(space: Mapping[str, Any], base: type) -> dict[str, Callable[..., Any]]:
    """Name -> what makes the topology: the entries of ``topos``, else the classes of the file."""
    topos = space.get("topos")
    classes: dict[str, Callable[..., Any]] = {
        name: value
        for name, value in space.items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == _MODULE
    }
    if isinstance(topos, dict) and topos:
        return {str(name): maker for name, maker in topos.items()}
    return classes


class _Lines:
    """Remembers on which line of the file each node and link was added."""

    def __init__(self, file: str, topo: Any) -> None:
        self.nodes: dict[str, int] = {}
        add_node, add_link = topo.Topo.addNode, topo.Topo.addLink

        def noted_node(self_: Any, name: str, **options: Any) -> Any:
            self.nodes[name] = self._line(file)
            return add_node(self_, name, **options)

        def noted_link(self_: Any, node1: str, node2: str, *args: Any, **options: Any) -> Any:
            key = add_link(self_, node1, node2, *args, **options)
            for one, other in ((node1, node2), (node2, node1)):
                self.of_link[one, other, key] = self._line(file)
            return key

        self.of_link: dict[tuple[str, str, Any], int] = {}
        topo.Topo.addNode, topo.Topo.addLink = noted_node, noted_link

    @staticmethod
    def _line(file: str) -> int:
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename == file:
                return frame.f_lineno
            if frame.f_back is None:
                break
            frame = frame.f_back
        return 1


def _description(name: str, topology: Any, lines: _Lines) -> dict[str, Any]:
    def node(called: str) -> dict[str, Any]:
        return {
            "name": called,
            "line": lines.nodes.get(called, 1),
            "opts": _plain(dict(topology.nodeInfo(called))),
        }

    return {
        "name": name,
        "processors": os.cpu_count() or 1,
        "hosts": [node(called) for called in topology.hosts()],
        "switches": [node(called) for called in topology.switches()],
        "links": [
            {
                "ends": [info.get("node1", one), info.get("node2", other)],
                "key": str(key),
                "line": lines.of_link.get((one, other, key), 1),
                "opts": _plain(dict(info)),
            }
            for one, other, key, info in topology.links(sort=True, withKeys=True, withInfo=True)
        ],
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it; a class by its name, something else by its text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, type):
        return {"class": value.__name__}
    if isinstance(value, dict) and depth < 4:
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and depth < 4:
        return [_plain(inner, depth + 1) for inner in value]
    inner = getattr(value, "func", None)  # functools.partial of a class
    return {"class": inner.__name__} if isinstance(inner, type) else str(value)[:200]
