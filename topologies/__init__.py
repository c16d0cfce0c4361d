"""sdnlab: topologies - what a lab is."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from topologies.syntax.problem import Invalid, Problem

if TYPE_CHECKING:
    from topologies.model.topology import Domain, Host, Link, Network, Port, Shaping, Switch, Topology

__all__ = [
    "Domain",
    "Host",
    "Invalid",
    "Link",
    "Network",
    "Port",
    "Problem",
    "Shaping",
    "Switch",
    "Topology",
    "load",
    "loads",
    "remarks",
    "schema",
]


def __getattr__(name: str) -> Any:
    """The model's names, when they are asked for (PEP 562): it takes longer to import than all else here."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from topologies.model import topology as model

    return getattr(model, name)


def load(path: str | PathLike[str], running: Topology | None = None) -> Topology:
    """The resolved topology of a YAML or GraphML file, or ``Invalid`` with every problem found.

    ``running``: what a lab is at the moment; what the file leaves out (addresses, numbers) stays as it is
    there.
    """
    from topologies import loading

    return loading.load(path, running)


def loads(raw: bytes | str, file: str = "<text>", running: Topology | None = None) -> Topology:
    """Like ``load``, of a file's content; ``file`` is what problems call it, decides the format, and says
    where the files are that it names."""
    from topologies import loading

    content = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    return loading.loads(content, file, running)


def remarks(topology: Topology) -> list[str]:
    """What is right, and yet may not be what was meant: each in a sentence."""
    from topologies.model import parts

    return [text for text in (parts.remark(topology),) if text]


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the YAML topology file, for editors."""
    from topologies.syntax import specification

    return specification.schema()
