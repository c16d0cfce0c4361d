"""sdnlab: topologies - the description of a lab."""

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
    """Import the model when one of its names is used (PEP 562): it takes longer than all else here."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from topologies.model import topology as model

    return getattr(model, name)


def load(path: str | PathLike[str], running: Topology | None = None) -> Topology:
    """The resolved topology of a YAML or GraphML file. Raises ``Invalid`` with all its problems.

    ``running``: the topology of a running lab; addresses and numbers that the file leaves out stay as they
    are there.
    """
    from topologies import loading

    return loading.load(path, running)


def loads(raw: bytes | str, file: str = "<text>", running: Topology | None = None) -> Topology:
    """Like ``load``, with the content of a file. ``file`` is its name: it stands in problems, decides the
    format, and other files that it names are relative to it."""
    from topologies import loading

    content = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    return loading.loads(content, file, running)


def remarks(topology: Topology) -> list[str]:
    """Sentences about what is no problem, but may not be what the user wants."""
    from topologies.model import outside, parts

    return [text for text in (parts.remark(topology), outside.remark(topology)) if text]


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the YAML topology file, for editors."""
    from topologies.syntax import specification

    return specification.schema()
