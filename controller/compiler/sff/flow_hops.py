"""A chain's hop at a function that the switch itself is."""

from __future__ import annotations

from collections.abc import Mapping

from controller.compiler.functions.registry import HOPS, Here
from controller.flow.tables import Flow, Group, Meter
from topologies.model.functions import Function
from topologies.model.service_paths import Hop
from topologies.model.topology import Topology


def flow_hop(
    topology: Topology,
    function: Function,
    hop: Hop,
    numbers: Mapping[str, int],
    failed: frozenset[str] = frozenset(),
) -> tuple[list[Flow], list[Group], list[Meter]]:
    """All of a hop in table STEER of its switch, for a function that is attached as ``Flows``.

    ``numbers``: of networks, in NETWORK. ``failed``: instances and backends (``lb/web1``) that do not work.
    Frames come to STEER with HOP the hop's number, untracked, and go on as
    ``controller.compiler.tracking.onward`` says.  An origin without an entity is the function's.

    Hops of one function share flows (the same cookie), groups and meters (the same number): the caller
    installs each once (see ``once``).
    """
    if function.kind not in HOPS:
        raise ValueError(f"function {function.name}: no switch does a {function.kind} by its flows")
    return HOPS[function.kind](function, Here(topology, hop, numbers, failed))


def once(flows: list[Flow]) -> list[Flow]:
    """Flows in their order, without repeats."""
    return list({entry.cookie: entry for entry in flows}.values())
