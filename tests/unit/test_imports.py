"""Checks how the product's modules import each other: in no circle, and at the top of the module.

import-linter has contracts for the layers, but it does not check for circles between single modules, nor
where in a module an import is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("controller", "dataplane", "lab", "linux", "nfv", "topologies", "wire")

COMMAND = "each command imports only what it needs: a client takes 0.1 s, a lab's parts 0.7 s, scapy 1.2 s"
BUILDING = "while topology and sandbox are made: the data plane is 0.7 s, the model 0.2 s, FastAPI 0.7 s"
CONTROLLER = (
    "os-ken (0.3 s) is imported before there is an intent; the model (0.2 s) and the core (0.6 s) after"
)
HUB = "eventlet replaces parts of the standard library, before other modules take them"
LEAN = "tens of functions' processes start at once; what not every one needs is 1 to 10 ms for each"
OPTIONAL = (
    "a user who doesn't need it doesn't have to install it, or wait for it: networkx 0.3 s, "
    "scapy 1.2 s, the IDS 0.3 s, "
    "importlib.metadata 0.03 s"
)
READING = "only a process that loads a file needs this (0.3 s with YAML); a resolved topology doesn't"
SCRIPT = "a user's program that runs a command needs 0.1 s; scapy 1.2 s and the model 0.2 s are for few"
SHELL = "Mininet takes 0.5 s, and only its shell needs it"

LATER: dict[str, tuple[str, tuple[str, ...]]] = {
    "controller.__main__": (
        CONTROLLER,
        ("controller.api.app", "controller.runtime", "topologies.model.topology"),
    ),
    "controller.runtime.app": (CONTROLLER, ("controller",)),
    "controller.runtime.compiling": (
        "the compiler (0.03 s) is imported in the thread that compiles, while the app greets switches",
        ("controller.compiler.compile",),
    ),
    "controller.ryu.__main__": (HUB, ("controller.ryu.manager",)),
    "controller.ryu.hub": (HUB, ("controller.ryu.green", "controller.ryu.native")),
    "dataplane.hosts.vm.client": (COMMAND, ("fcntl", "termios", "tty")),
    "dataplane.hosts.namespace": (
        "every exec imports it, and needs 7 ms less without what builds",
        (
            "dataplane.hosts.frr",
            "dataplane.hosts.interface",
            "dataplane.hosts.limits",
            "dataplane.hosts.own_mounts",
            "dataplane.hosts.own_tree",
            "dataplane.hosts.serving_rooms",
            "topologies.model.hosts",
        ),
    ),
    "dataplane.hosts.room": (
        "every exec imports it, most hosts have nothing of their own, and few have daemons",
        ("dataplane.hosts.own_mounts", "dataplane.hosts.own_tree", "linux.seccomp"),
    ),
    "dataplane.hosts.container.driver": (
        "every exec imports it, and needs 10 ms less without what starts containers",
        ("dataplane.facts", "dataplane.hosts", "topologies.model.hosts"),
    ),
    "dataplane.hosts.vm.driver": (
        "every exec imports it, and needs 0.1 s less without what starts machines",
        (
            "dataplane.facts",
            "dataplane.hosts.vm",
            "dataplane.images",
            "shutil",
            "subprocess",
            "topologies.model.hosts",
        ),
    ),
    "lab.api.app": ("a lab that is not checked needs nothing of it (10 ms)", ("lab.supervisor.checking",)),
    "lab.api.serve": (BUILDING, ("asyncio", "lab.api.app", "uvicorn")),
    "lab.checks.sending": (OPTIONAL, ("scapy",)),
    "lab.cli": (COMMAND, ("lab.cli",)),
    "lab.cli.app": (COMMAND, ("importlib.metadata",)),
    "lab.cli.capture": (COMMAND, ("dataplane.pcap", "lab.access.client", "lab.cli.enter")),
    "lab.cli.common": (COMMAND, ("lab.access.client",)),
    "lab.cli.mininet_script": (
        COMMAND,
        ("controller.ryu", "dataplane", "lab.cli.enter", "lab.mininet", "linux"),
    ),
    "lab.cli.copy": (COMMAND, ("lab.access.client", "lab.cli.archive", "lab.cli.copying")),
    "lab.cli.convert": (COMMAND, ("lab.drawing", "topologies")),
    "lab.cli.draw": (COMMAND, ("lab.drawing",)),
    "lab.cli.files": (COMMAND, ("lab.mininet.evaluating", "lab.packets.declared", "networkx", "topologies")),
    "lab.cli.ids": (COMMAND, ("nfv.ids",)),
    "lab.cli.image": (COMMAND, ("dataplane.hosts.container.images", "dataplane.images")),
    "lab.cli.apps": (
        COMMAND,
        ("lab.access.client", "lab.cli.enter", "lab.cli.rendering.lab", "lab.views.applications"),
    ),
    "lab.cli.doctor": (COMMAND, ("dataplane",)),
    "lab.cli.look": (COMMAND, ("lab.access.client",)),
    "lab.cli.openflow": (
        COMMAND,
        ("lab.access.client", "lab.cli.enter", "lab.cli.rendering", "lab.openflow.snoop"),
    ),
    "lab.cli.machine": (COMMAND, ("lab.access.client", "lab.cli.enter", "lab.cli.serial")),
    "lab.cli.scapy_shell": (COMMAND, ("lab.scripting.lab", "scapy")),
    "lab.cli.course_tests": (COMMAND, ("importlib.metadata",)),
    "lab.cli.making": (COMMAND, ("networkx", "topologies")),
    "lab.cli.serial": (COMMAND, ("termios", "tty")),
    "lab.cli.reporting": (
        COMMAND,
        ("lab.cli.check", "lab.cli.rendering", "lab.drawing", "lab.report", "nfv.ids.sources"),
    ),
    "lab.cli.run": (
        COMMAND,
        (
            "dataplane.hosts.cgroups",
            "lab.cli",
            "lab.access.client",
            "lab.start.stop",
            "linux",
            "topologies.model.applications",
            "topologies.shipped",
        ),
    ),
    "lab.cli.service": (COMMAND, ("lab.start.preparing",)),
    "lab.cli.starting": (COMMAND, ("lab.start.launch", "lab.start.order")),
    "lab.cli.touch": (COMMAND, ("lab.cli.rendering", "lab.access.client", "lab.cli.enter")),
    "lab.cli.enter": (COMMAND, ("lab.cli", "lab.cli.shell")),
    "lab.cli.trace": (COMMAND, ("controller", "lab.cli", "lab.tracing.asking", "lab.views.trace")),
    "lab.tracing.asking": (OPTIONAL, ("controller.simulate.decode", "lab.packets")),
    "lab.cli.verifying": (COMMAND, ("controller", "lab.cli.rendering")),
    "lab.failure": (COMMAND, ("topologies.syntax.problem",)),
    "lab.packets.build": (OPTIONAL, ("scapy",)),
    "lab.functions.report": (BUILDING, ("nfv.describe",)),
    "lab.scripting.captures": (SCRIPT, ("scapy",)),
    "lab.scripting.lab": (
        SCRIPT,
        (
            "lab.scripting.picture",
            "lab.scripting.ports",
            "lab.scripting.scapy_host",
            "lab.start.stop",
            "topologies.model.topology",
        ),
    ),
    "lab.scripting.ports": (SCRIPT, ("dataplane.pcap",)),
    "lab.pytest_plugin": (
        "each run of pytest imports it, and most have nothing to do with labs",
        ("lab.failure", "lab.naming", "lab.scripting.lab"),
    ),
    "lab.start.launch": (
        COMMAND,
        (
            "dataplane.hosts.cgroups",
            "dataplane.sandbox.door",
            "dataplane.sandbox.sandbox",
            "dataplane.sandbox.errors",
            "lab.start.inside",
            "lab.start.outside",
            "lab.start.preparing",
        ),
    ),
    "lab.start.outside": (
        "few labs publish a port that another one has (HTTP client and sockets 0.03 s)",
        ("dataplane.sandbox.door", "lab.access", "lab.failure"),
    ),
    "dataplane.sandbox.door": ("most labs start nothing in the machine's network (10 ms)", ("subprocess",)),
    "lab.start.building": (BUILDING, ("lab.supervisor.storage",)),
    "lab.cli.shell": (SHELL, ("dataplane.mininet_view.net", "lab", "mininet")),
    "lab.start.inside": (
        BUILDING,
        (
            "lab.api.serve",
            "lab.packets.declared",
            "lab.start.building",
            "lab.supervisor.bridges",
            "lab.supervisor.by_apps",
            "lab.supervisor.runnable",
            "topologies",
        ),
    ),
    "lab.start.stop": (COMMAND, ("dataplane.hosts.cgroups",)),
    "lab.supervisor.controllers": (
        "the lab's own controller starts first; few labs have others, which need the model (0.2 s)",
        ("lab.supervisor.ryu_apps",),
    ),
    "lab.supervisor.controller_main": (CONTROLLER, ("controller.__main__",)),
    "nfv.devices": (LEAN, ("fcntl", "linux.carrier", "socket", "struct")),
    "nfv.ids.language.buffers": (OPTIONAL, ("pcre2",)),
    "nfv.ids.settings": (OPTIONAL, ("yaml",)),
    "nfv.ids.run.suricata": (LEAN, ("shutil",)),
    "nfv.process": (LEAN, ("subprocess",)),
    "nfv.python_function.process": (OPTIONAL, ("scapy",)),
    "nfv.python_function.worker": (LEAN, ("faulthandler", "inspect", "linecache", "scapy")),
    "topologies": (READING, ("topologies",)),
    "topologies.extensions": (OPTIONAL, ("importlib.metadata",)),
    "topologies.syntax.document": (READING, ("yaml",)),
    "topologies.model.graph": (OPTIONAL, ("networkx",)),
    "topologies.loading": (READING, ("topologies",)),
    "topologies.model.topology": (OPTIONAL, ("topologies.model.graph",)),
    "topologies.syntax.problem": (READING, ("difflib",)),
}
"""Module -> why some of its imports stand inside functions (measured on two cores), and what they are of."""

CIRCLES = {
    # networkx's users ask a topology for its graph, whose parts are worked out from the topology
    ("topologies.model.topology", "topologies.model.graph"),
}
"""Imports that are left out when circles are looked for."""


class Import(NamedTuple):
    """``later``: it stands inside a function; ``types``: it is for type checkers alone."""

    by: str
    of: str
    line: int
    later: bool = False
    types: bool = False


def modules() -> dict[str, Path]:
    paths = {}
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            paths[name.removesuffix(".__init__")] = path
    return paths


def imports(
    module: str, tree: ast.AST, known: Iterable[str], later: bool = False, types: bool = False
) -> Iterator[Import]:
    """All that a module imports; ``known``: the names of modules."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(module, ast.Module(node.body, []), known, later, True)
            yield from imports(module, ast.Module(node.orelse, []), known, later, types)
            continue
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno, later, types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module, inner if inner in known else node.module, node.lineno, later, types)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from imports(module, node, known, later or inside, types)


@cache
def all_imports() -> tuple[Import, ...]:
    known = modules()
    return tuple(
        statement
        for name, path in known.items()
        for statement in imports(name, ast.parse(path.read_text(encoding="utf-8")), known)
    )


def circle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """The modules of one circle, in order; empty when there is none."""
    after: dict[str, list[str]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    done: set[str] = set()
    for start in after:
        path: list[str] = []
        left = [iter([start])]
        while left:
            for step in left[-1]:
                if step in path:
                    return path[path.index(step) :]
                if step not in done:
                    path.append(step)
                    left.append(iter(after.get(step, ())))
                    break
            else:
                left.pop()
                if path:
                    done.add(path.pop())
    return []


def test_a_circle_is_found() -> None:
    assert circle([("a", "b"), ("b", "c"), ("x", "b")]) == []
    assert sorted(circle([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")])) == ["b", "c", "d"]
    source = "def f():\n    import b\nif TYPE_CHECKING:\n    import c\nelse:\n    import d\n"
    assert list(imports("a", ast.parse(source), ())) == [
        Import("a", "b", 2, later=True),
        Import("a", "c", 4, types=True),
        Import("a", "d", 6),
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even for type checkers alone."""
    known = modules()
    edges = {
        (statement.by, statement.of)
        for statement in all_imports()
        if statement.of in known and statement.by != statement.of
    }
    assert edges >= CIRCLES, "an exception that nothing needs"
    assert not circle(sorted(edges - CIRCLES))


def within(module: str, some: Iterable[str]) -> bool:
    return any(module == allowed or module.startswith(f"{allowed}.") for allowed in some)


def test_imports_stand_at_the_top_but_for_measured_reasons() -> None:
    later = [statement for statement in all_imports() if statement.later and not statement.types]
    wrong = [
        f"{statement.by}, line {statement.line}: {statement.of}"
        for statement in later
        if not within(statement.of, LATER.get(statement.by, ("", ()))[1])
    ]
    assert not wrong, "move these imports to the top, or give a measured reason in LATER"
    unused = [
        f"{name}: {allowed}"
        for name, (_, some) in LATER.items()
        for allowed in some
        if not any(statement.by == name and within(statement.of, (allowed,)) for statement in later)
    ]
    assert not unused, "an exception that nothing needs"
