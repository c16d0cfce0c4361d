"""From a function of the topology to the process of each of its instances. Pure."""

from __future__ import annotations

from nfv.contract import Program
from nfv.kinds import PROGRAMS, PROGRAMS_OF_LABS
from topologies.model.functions import Function
from topologies.model.topology import Topology


def describe(function: Function, instance: str, topology: Topology) -> Program:
    """The process for ``instance`` of ``function`` (of a load balancer: in its own namespace).

    Raises ValueError for a function that needs no process (see ``needs_process``).
    """
    if not needs_process(function):
        raise ValueError(f"{function.name}: {function.kind} with the engine {function.engine} has no process")
    key = function.kind, function.engine
    if key in PROGRAMS_OF_LABS:
        return PROGRAMS_OF_LABS[key](function, topology)
    return PROGRAMS[key](function)


def needs_process(function: Function) -> bool:
    """Whether the function needs a process. A function that flow tables implement needs none."""
    return (function.kind, function.engine) in {*PROGRAMS, *PROGRAMS_OF_LABS}
