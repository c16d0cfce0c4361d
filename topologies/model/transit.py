"""The switches that send frames into service chains, and those where frames leave them. Pure.

The overlay must join them. A hop that can be skipped counts both as passed and as skipped, because instances
may fail at any time.
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
    """(chain, forward, hops in order) for each direction of each chain that has hops."""
    functions = {function.name: function for function in topology.functions}
    for chain in topology.chains:
        hops = tuple(chain_hops(chain, functions))
        for forward in (True, False):
            way = tuple(hop for hop in hops if hop.forward is forward)
            if way:
                yield chain, forward, way


def skippable(hop: Hop, functions: Mapping[str, Function]) -> bool:
    """Whether frames may skip this hop: a tap, which only gets copies, or a function without a working
    instance. Flows do not fail."""
    match steered(functions[hop.function]):
        case Inline() | Tap():
            return hop.open
        case Flows():
            return False
        case never:
            assert_never(never)


def exits(topology: Topology) -> dict[str, set[str]]:
    """Network -> the switches where frames leave a chain and go on in this network."""
    leaving: dict[str, set[str]] = {}
    functions = {function.name: function for function in topology.functions}
    for _, _, way in paths(topology):
        for hop in reversed(way):
            leaving.setdefault(hop.leaves, set()).add(hop.switch)
            if not skippable(hop, functions):
                break
    return leaving


def without_offloads(topology: Topology) -> frozenset[str]:
    """Hosts and functions whose interfaces must not offload: they send packets segmented and checksummed.

    Some chains need this from all hosts in the networks at both ends, and from their functions, which may
    send packets themselves (resets of a firewall):

    - chains with NSH: Open vSwitch's userspace datapath (3.1) drops other packets inside NSH. - chains
    that pass an address translator (also a load balancer after the chain) and a function that lets the
      kernel finish checksums. An unfinished checksum is the sum of the addresses (virtio 1.2, 5.1.6.2). Open
      vSwitch (3.1) updates it like a finished one when it translates addresses, so the result is wrong.

    And all hosts of a lab in which users' apps control switches: a packet that goes to an app and comes back
    in a packet-out keeps the checksum that it has.
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
    if topology.by_apps:
        affected |= {host.name for host in topology.hosts}
    return frozenset(affected)


def _needs_whole_packets(chain: Chain, functions: Mapping[str, Function], balanced: Container[str]) -> bool:
    """Whether a chain needs packets without offloads. ``balanced``: networks whose hosts reach a load
    balancer that translates addresses, also after other chains."""
    if chain.encapsulation == "nsh":
        return True
    way = [step.function for step in steps(chain, functions)]
    translates = any(function.translates for function in way)
    translates = translates or chain.network in balanced or chain.far_network in balanced
    return translates and any(function.needs_whole_packets for function in way)


def senders(
    topology: Topology, members: Mapping[str, set[str]], reach: Mapping[str, set[str]]
) -> dict[int, set[str]]:
    """Hop number -> the switches that send frames to this hop.

    ``members``: network -> the switches that have a host of it; ``reach``: network -> the switches that send
    frames into it.
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
        # frames that leave a chain may go to a load balancer
        further = out.get(entry.network, set[str]()) if entry.priority < 0 else set[str]()
        start(entry, members[entry.network] | further)
    for copy in steering.copies:
        # frames to a host are copied at the switch where they enter
        start(copy, members[copy.network] if copy.host is None else reach[copy.network])
    for hop in steering.hops.values():
        number = hop.next
        while number:
            starts[number].add(hop.switch)
            number = steering.hops[number].next if skippable(steering.hops[number], functions) else 0
    return starts
