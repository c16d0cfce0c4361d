"""How the threads of Ryu applications run: eventlet's green threads or native ones, and what the latter lack.

Ryu runs on eventlet, and its apps rely on it: no other thread runs between two of their statements, a thread
can be killed, and a timeout ends any wait. os-ken's native hub has none of this. So eventlet is the choice,
unless an app imports what does not work with its patched sockets.
"""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Iterable
from typing import Any, Literal

Hub = Literal["eventlet", "native"]

NATIVE_ONLY = frozenset(
    ("aiohttp", "anyio", "asyncio", "fastapi", "grpc", "hypercorn", "trio", "uvicorn", "websockets")
)
"""Modules that wait with selectors of the operating system, which eventlet takes away."""


def imports(source: str) -> frozenset[str]:
    """The top names of the modules that a source imports, at any place; none if it can't be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


def choose(wanted: str, sources: Iterable[str], environment: str | None, eventlet_there: bool) -> Hub:
    """The hub for apps with these sources. ``wanted``: the option; ``environment``: $OSKEN_HUB_TYPE."""
    for choice in (wanted, environment):
        if choice == "eventlet":
            return "eventlet"
        if choice == "native":
            return "native"
    if not eventlet_there or any(imports(source) & NATIVE_ONLY for source in sources):
        return "native"
    return "eventlet"


def start(chosen: Hub, threads: bool = True) -> Any:
    """Load os-ken's hub of this kind, and mend it; the module. Nothing of os-ken may be imported before.

    ``threads``: eventlet replaces ``threading``, too.
    """
    os.environ["OSKEN_HUB_TYPE"] = chosen
    if chosen == "eventlet":
        from controller.ryu import green

        return green.start(threads)
    hub = importlib.import_module("os_ken.lib.hub")
    from controller.ryu import native

    native.mend(hub)
    return hub
