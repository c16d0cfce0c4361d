"""Where the frames of service chains come from, and where they go on: what the overlay must join. Pure.

Both answers take in what is possible while instances fail: a hop that can be skipped is looked at as there
and as skipped, wherever the skipping is done.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from typing_extensions import assert_never

from topologies.model.attachment import Flows, Inline, Tap
from topologies.model.functions import Chain, Function
from topologies.model.kinds import LoadBalancer
from topologies.model.service_paths import Copy, Entry, Hop, chain_hops, service, steered, steps
from topologies.model.topology import Topology


def paths(topology: Topology) -> Iterator[tuple[Chain, bool, tuple[Hop, ...]]]:
    """Each chain's directions with their hops in order; none without a hop."""
    functions = {function.name: function for function in topology.functions}
    for chain in topology.chains:
        hops = tuple(chain_hops(chain, functions))
        for forward in (True, False):
            way = tuple(hop for hop in hops if hop.forward is forward)
            if way:
                yield chain, forward, way


def skippable(hop: Hop, functions: Mapping[str, Function]) -> bool:
    """Whether frames may go on without having been at this hop: past a tap, which gets copies only, or past
    instances of which none works.  Flows don't fail."""
    match steered(functions[hop.function]):
        case Inline() | Tap():
            return hop.open
        case Flows():
            return False
        case never:
            assert_never(never)


def exits(topology: Topology) -> dict[str, set[str]]:
    """Network -> the switches from which frames that are out of a chain go on in it."""
    leaving: dict[str, set[str]] = {}
    functions = {function.name: function for function in topology.functions}
    for _, _, way in paths(topology):
        for hop in reversed(way):
            leaving.setdefault(hop.leaves, set()).add(hop.switch)
            if not skippable(hop, functions):
                break
    return leaving


def without_offloads(topology: Topology) -> frozenset[str]:
    """Hosts and functions whose interfaces must send whole packets, cut and checksummed.

    These are all in the networks at both ends of a chain that needs it, and its functions, which may send
    packets of their own (a firewall's resets).  Two kinds of chains do:

    - with NSH: Open vSwitch's userspace datapath (3.1) drops other packets once they are inside NSH.
    - with an address translator (also a load balancer that takes what is out of the chain) and a function
      that has the kernel finish checksums.  A checksum that is left to others begins as the sum of the
      addresses (virtio 1.2, 5.1.6.2); Open vSwitch (3.1) translates it as if it were a finished one, and
      what is made of it then is wrong.
    """
    functions = {function.name: function for function in topology.functions}
    balanced = {chain.network for chain in topology.chains if chain.implicit}
    chains = [chain for chain in topology.chains if _needs_whole_packets(chain, functions, balanced)]
    ends = {network for chain in chains for network in (chain.network, chain.far_network)}
    passed = {name for chain in chains for name in chain.functions}
    affected = {host.name for host in topology.hosts if host.network in ends}
    for function in topology.functions:
        if function.name in passed and isinstance(function.attachment, Inline):
            affected.add(function.name)
        if isinstance(function, LoadBalancer) and function.balancer.network in ends:
            affected.add(function.name)
    return frozenset(affected)


def _needs_whole_packets(chain: Chain, functions: Mapping[str, Function], balanced: Container[str]) -> bool:
    """``balanced``: networks whose hosts reach a load balancer that translates, also behind other chains."""
    if chain.encapsulation == "nsh":
        return True
    way = [step.function for step in steps(chain, functions)]
    translates = any(function.translates for function in way)
    translates = translates or chain.network in balanced or chain.far_network in balanced
    return translates and any(function.needs_whole_packets for function in way)


def senders(
    topology: Topology, members: Mapping[str, set[str]], reach: Mapping[str, set[str]]
) -> dict[int, set[str]]:
    """Hop number -> the switches from which frames start for it.

    ``members``: network -> switches that have a host of it; ``reach``: those whose hosts' frames get into it.
    """
    functions = {function.name: function for function in topology.functions}
    steering = service(topology)
    starts: dict[int, set[str]] = {number: set() for number in steering.hops}

    def start(source: Entry | Copy, switches: set[str]) -> None:
        number = source.hop
        while number:
            hop = steering.hops[number]
            starts[number] |= switches
            number = hop.next if skippable(hop, functions) else 0

    out: dict[str, set[str]] = exits(topology) if any(hop.balanced for hop in steering.hops.values()) else {}
    for entry in steering.entries:
        # what is out of a chain may be for a load balancer still
        further = out.get(entry.network, set[str]()) if entry.priority < 0 else set[str]()
        start(entry, members[entry.network] | further)
    for copy in steering.copies:
        # what is sent to a host is copied where it enters
        start(copy, members[copy.network] if copy.host is None else reach[copy.network])
    for hop in steering.hops.values():
        number = hop.next
        while number:
            starts[number].add(hop.switch)
            number = steering.hops[number].next if skippable(steering.hops[number], functions) else 0
    return starts
