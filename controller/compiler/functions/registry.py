"""The registry of kinds of network functions that switches do by their flows: how each is programmed. Pure.

``HOPS`` has an entry for each (see ``topologies.model.kinds`` for how a kind is added).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from controller.compiler.functions.balancer import balancer_hop
from controller.compiler.functions.firewall import firewall_hop
from controller.compiler.functions.nat import nat_hop
from controller.flow.meters import ECHOES, NOTICES
from controller.flow.tables import Flow, Group, Meter
from topologies.model.functions import Function
from topologies.model.kinds import AddressTranslator, FirewallFunction, LoadBalancer, taking
from topologies.model.service_paths import Hop
from topologies.model.topology import Topology

Parts = tuple[list[Flow], list[Group], list[Meter]]


class Here(NamedTuple):
    """What a hop is made from.

    ``numbers``: of networks, in NETWORK. ``failed``: instances and backends (``lb/web1``) that do not work.
    """

    topology: Topology
    hop: Hop
    numbers: Mapping[str, int]
    failed: frozenset[str] = frozenset()


def _firewall(function: FirewallFunction, here: Here) -> Parts:
    flows, meters = firewall_hop(here.topology, function, here.hop, here.numbers)
    return flows, [], meters


def _balancer(function: LoadBalancer, here: Here) -> Parts:
    return balancer_hop(here.topology, function, here.hop, here.numbers, here.failed)


def _nat(function: AddressTranslator, here: Here) -> Parts:
    flows = nat_hop(here.topology, function, here.hop, here.numbers)
    return flows, [], [NOTICES, ECHOES] if here.hop.forward else [ECHOES]


HOPS: dict[str, Callable[[Function, Here], Parts]] = {
    "firewall": taking(FirewallFunction, _firewall),
    "load-balancer": taking(LoadBalancer, _balancer),
    "nat": taking(AddressTranslator, _nat),
}
"""Kind -> all of a hop at such a function that is attached as ``Flows``, in table STEER of its switch (see
``controller.compiler.sff.flow_hops``)."""
