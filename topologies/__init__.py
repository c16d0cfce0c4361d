"""sdnlab: topologies - what a lab is."""

from __future__ import annotations

from os import PathLike
from typing import Any

from topologies.model import Domain, Host, Link, Network, Port, Shaping, Switch, Topology
from topologies.problem import Invalid, Problem

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
    "schema",
]


def load(path: str | PathLike[str]) -> Topology:
    """The resolved topology of a YAML or GraphML file, or ``Invalid`` with every problem found."""
    from topologies import loading

    return loading.load(path)


def loads(raw: bytes | str, file: str = "<text>") -> Topology:
    """Like ``load``, of a file's content; ``file`` is what problems call it, and decides the format."""
    from topologies import loading

    return loading.loads(raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw, file)


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the YAML topology file, for editors."""
    from topologies import spec

    return spec.schema()
