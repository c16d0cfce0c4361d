"""Frames through the tunnels: the tunnel switches' flow counters, added up by network and pair of domains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from controller import origin
from controller.flow.tables import Flow, SwitchTables
from controller.origin import Tunnelled
from topologies.model.overlay import network_numbers, overlay
from topologies.model.topology import Topology
from wire.mac import mac_number


class Counted(NamedTuple):
    """Packets and bytes that matched a flow; the bytes are those of inner frames, without tunnel headers."""

    packets: int = 0
    bytes: int = 0

    def plus(self, other: Counted) -> Counted:
        return Counted(self.packets + other.packets, self.bytes + other.bytes)


class Way(NamedTuple):
    """Unicast frames of one network from one domain to another."""

    network: str
    vni: int
    source: str
    target: str
    counted: Counted


class Flooded(NamedTuple):
    """Frames of one network that a domain's tunnel switch sent to all members."""

    network: str
    vni: int
    domain: str
    counted: Counted


def mesh(
    topology: Topology,
    tables: Mapping[str, SwitchTables],
    counters: Mapping[str, Mapping[int, Counted]],
) -> tuple[list[Way], list[Flooded]]:
    """Unicast frames of each network from each domain to each other (also 0), and flooded frames.

    ``counters``: tunnel switch -> cookie -> counters, as the switch reports them; a switch that is
    missing counts as 0.
    """
    if topology.underlay is None:
        return [], []
    numbers = network_numbers(topology)
    switches = {vtep.domain: vtep.switch for vtep in topology.underlay.vteps}
    domain_at = {vtep.address: vtep.domain for vtep in topology.underlay.vteps}
    vni = {network.name: network.vni or 0 for network in topology.networks}
    ways: list[Way] = []
    flooded: list[Flooded] = []
    for tunnel in overlay(topology).tunnels:
        name = switches[tunnel.domain]
        counted = counters.get(name, {})
        by_mac: dict[int, Counted] = {}
        everyone = Counted()
        for mac, flow in _of_network(tables.get(name), numbers[tunnel.network]):
            met = counted.get(flow.cookie, Counted())
            if mac is None:
                everyone = everyone.plus(met)
            else:
                by_mac[mac] = met
        sums = {address: Counted() for address in (*tunnel.unicast.values(), *tunnel.flood)}
        for text, address in tunnel.unicast.items():
            sums[address] = sums[address].plus(by_mac.get(mac_number(text), Counted()))
        for address, total in sums.items():
            ways.append(Way(tunnel.network, vni[tunnel.network], tunnel.domain, domain_at[address], total))
        flooded.append(Flooded(tunnel.network, vni[tunnel.network], tunnel.domain, everyone))
    return ways, flooded


def _of_network(tables: SwitchTables | None, number: int) -> Iterator[tuple[int | None, Flow]]:
    """(MAC address, FORWARD flow) of the network in a tunnel switch; None for flows to all members."""
    flows: Iterable[Flow] = tables.flows if tables is not None else ()
    for flow in flows:
        if isinstance(flow.origin, Tunnelled) and flow.origin.network == number:
            yield flow.origin.mac, flow
        elif isinstance(flow.origin, origin.Flooded) and flow.origin.network == number:
            yield None, flow
