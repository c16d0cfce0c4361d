"""What Python and its libraries removed and apps of Ryu's time call: the small mends that are right.

networkx and WebOb are mended once they are imported: `MENDS` are called with the module.
"""

from __future__ import annotations

import array
import base64
import collections
import collections.abc
import inspect
import sys
import threading
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, NamedTuple

_ABSTRACT = ("Callable", "Hashable", "Iterable", "Iterator", "Mapping", "MutableMapping", "MutableSequence",
             "MutableSet", "Sequence", "Set", "Sized")  # fmt: skip


def mend() -> None:
    """Put back names that were removed, in place. Idempotent."""
    for name in _ABSTRACT:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    given: Any = inspect
    if not hasattr(inspect, "getargspec"):
        given.getargspec = _getargspec
    arrays: Any = array
    if not hasattr(array.array, "tostring"):
        arrays.array = _Array
    clock: Any = time
    if not hasattr(time, "clock"):
        clock.clock = time.perf_counter
    threads: Any = threading.Thread
    if not hasattr(threads, "isAlive"):
        threads.isAlive = threads.is_alive
    texts: Any = base64
    if not hasattr(base64, "encodestring"):
        texts.encodestring, texts.decodestring = base64.encodebytes, base64.decodebytes
    if not any(isinstance(finder, Mender) for finder in sys.meta_path):
        sys.meta_path.insert(0, Mender())
        for name, mend_it in MENDS.items():
            if name in sys.modules:  # the launcher itself needed it
                mend_it(sys.modules[name])


class _Array(array.array):  # type: ignore[type-arg]
    """An array with the methods that Python 3.9 removed; octets may be given as text."""

    def __new__(cls, typecode: str, initial: Any = ()) -> _Array:
        if isinstance(initial, str) and typecode not in ("u", "w"):
            initial = initial.encode("latin-1")
        return super().__new__(cls, typecode, initial)

    def tostring(self) -> bytes:
        return self.tobytes()

    def fromstring(self, data: str | bytes) -> None:
        self.frombytes(data.encode("latin-1") if isinstance(data, str) else data)


def _mend_networkx(networkx: Any) -> None:
    """Graphs of networkx 1.x: ``edge``, ``node``, and methods that iterate; attributes in one dictionary."""
    graph, directed = networkx.Graph, networkx.DiGraph
    for kind in (graph, networkx.MultiGraph):
        if not hasattr(kind, "node"):
            kind.node = property(lambda self: self.nodes)
        if not hasattr(kind, "edge"):
            kind.edge = property(lambda self: self.adj)
    for kind, names in (
        (graph, ("nodes", "edges", "neighbors", "degree")),
        (directed, ("successors", "predecessors")),
    ):
        for name in names:
            if not hasattr(kind, f"{name}_iter"):
                setattr(kind, f"{name}_iter", _iterating(name))
    if not hasattr(networkx, "connected_component_subgraphs"):
        networkx.connected_component_subgraphs = lambda of: (
            of.subgraph(nodes).copy() for nodes in networkx.connected_components(of)
        )
    if not hasattr(networkx, "info"):
        networkx.info = str


def _iterating(name: str) -> Any:
    return lambda self, *args, **kwargs: iter(getattr(self, name)(*args, **kwargs))


def _mend_webob(webob: Any) -> None:
    """Answers whose body is a text, of any type: WebOb refuses it for JSON since version 1.7."""
    kind = webob.Response
    begin, body = kind.__init__, kind.body

    def encoded(text: Any) -> Any:
        return text.encode() if isinstance(text, str) else text

    def init(self: Any, body: Any = None, *args: Any, **kwargs: Any) -> None:
        begin(self, body if "charset" in kwargs else encoded(body), *args, **kwargs)

    kind.__init__ = init
    kind.body = property(
        body.fget, lambda self, text: body.fset(self, encoded(text)), body.fdel, body.__doc__
    )


MENDS: dict[str, Callable[[Any], None]] = {"networkx": _mend_networkx, "webob": _mend_webob}
"""What to do to a module when an app has imported it."""


class Mender(MetaPathFinder):
    """Mends modules as they are imported. It finds none itself."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        mend_it = MENDS.get(fullname)
        if mend_it is None:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def execute(module: Any) -> None:
            run(module)
            mend_it(module)

        spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec


class _ArgSpec(NamedTuple):
    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def _getargspec(function: Any) -> _ArgSpec:
    full = inspect.getfullargspec(function)
    return _ArgSpec(full.args, full.varargs, full.varkw, full.defaults)
