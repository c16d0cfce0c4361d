"""The compiler's view of a lab and of one of its switches: what all tables need, computed once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network

from controller.compiler.arp_nd import announcement, answer4, answers
from controller.compiler.broadcast import Broadcasts, Member, Tree, broadcasts
from controller.compiler.forwarding import Forwarding, Node, forward
from controller.compiler.functions.firewall import Guarded, guarded
from controller.compiler.paths import Graph
from controller.compiler.route import Gateway, gateway_answers, gateways, routes
from controller.compiler.sff.forwarder import Steering, steering, transport_ports
from controller.compiler.stations import Learned, Station, access_ports, owners, stations
from controller.compiler.tunnels import ChainTransport, Crossing, chain_transports, crossing
from controller.flow.tables import Flow
from topologies.model import outside
from topologies.model.choices import ROUTER
from topologies.model.endpoints import endpoints
from topologies.model.endpoints import stations as endpoints_at_ports
from topologies.model.overlay import Overlay, islands, network_numbers, overlay, reach
from topologies.model.places import Entity
from topologies.model.routing import Routing, Sources
from topologies.model.topology import Topology
from topologies.model.zones import function_zones
from wire.mac import mac_number


@dataclass(frozen=True)
class LabView:
    """A lab as all stages of the pipeline see it.

    ``stations``: all end systems. ``further``: a station for each further address of an end system.
    ``down_links``, ``avoid``, ``failed``: see ``controller.compiler.compile.compile_topology``.
    """

    topology: Topology
    stations: tuple[Station, ...]
    further: tuple[Station, ...]
    down_links: frozenset[str]
    avoid: frozenset[str]
    failed: frozenset[str]

    @classmethod
    def of(
        cls,
        topology: Topology,
        down_links: frozenset[str] = frozenset(),
        avoid: frozenset[str] = frozenset(),
        learned: tuple[Learned, ...] = (),
        failed: frozenset[str] = frozenset(),
    ) -> LabView:
        """The view of a topology, with what the controller has learned while the lab runs."""
        known, further = stations(topology, learned)
        return cls(topology, known, further, down_links, avoid, failed)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Network -> its number in the register NETWORK."""
        return network_numbers(self.topology)

    @cached_property
    def by_switch(self) -> dict[str, list[Station]]:
        """Switch -> its stations."""
        by_switch: dict[str, list[Station]] = {}
        for station in self.stations:
            by_switch.setdefault(station.switch, []).append(station)
        return by_switch

    @cached_property
    def by_network(self) -> dict[int, list[Station]]:
        """Network's number -> its stations."""
        by_network: dict[int, list[Station]] = {}
        for station in self.stations:
            by_network.setdefault(station.network, []).append(station)
        return by_network

    @cached_property
    def access(self) -> dict[str, dict[int, tuple[str, int]]]:
        """Switch -> its access ports -> their network's name and number."""
        return {
            switch: {port: (network, self.numbers[network]) for port, network in ports.items()}
            for switch, ports in access_ports(self.topology).items()
        }

    @cached_property
    def behind(self) -> dict[str, dict[int, Entity]]:
        """Switch -> its access ports -> the entity of the file that is behind the port."""
        entities: dict[str, dict[int, Entity]] = {}
        for endpoint, port in endpoints_at_ports(self.topology):
            entities.setdefault(port.switch, {})[port.number] = endpoint.entity
        return entities

    @cached_property
    def free(self) -> dict[str, frozenset[int]]:
        """Switch -> access ports that take any source address."""
        free: dict[str, frozenset[int]] = {}
        for host in self.topology.attached:
            if host.allow_spoofing:
                switch = host.at.switch
                free[switch] = free.get(switch, frozenset()) | {host.at.number}
        return free

    @cached_property
    def exits(self) -> dict[str, dict[int, Entity]]:
        """Switch -> the ports of gateways of ways out, and what each is."""
        exits: dict[str, dict[int, Entity]] = {}
        names = outside.gateways(self.topology)
        for host in self.topology.attached if names else ():
            if host.name in names:
                exits.setdefault(host.at.switch, {})[host.at.number] = Entity("host", host.name)
        return exits

    @cached_property
    def inside(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """What is never behind the gateway of a way out."""
        return tuple(outside.inside(self.topology))

    @cached_property
    def forwarded(self) -> dict[str, dict[int, Sources]]:
        """Switch -> its ports with routers that are hosts -> what they may send beside their own."""
        if not any(host.kind == ROUTER for host in self.topology.attached):
            return {}
        by_switch: dict[str, dict[int, Sources]] = {}
        for port, sources in Routing(self.topology).sources().items():
            by_switch.setdefault(port.switch, {})[port.number] = sources
        return by_switch

    @cached_property
    def trunks(self) -> dict[str, dict[int, str]]:
        """Switch -> its ports of links -> the link's name."""
        trunks: dict[str, dict[int, str]] = {}
        for link in self.topology.links:
            trunks.setdefault(link.a.switch, {})[link.a.number] = link.name
            trunks.setdefault(link.b.switch, {})[link.b.number] = link.name
        return trunks

    @cached_property
    def overlay(self) -> Overlay:
        """The overlay that the topology needs."""
        return overlay(self.topology)

    @cached_property
    def crossing(self) -> Crossing:
        """The overlay by switch and network number."""
        return crossing(self.topology, self.overlay, self.numbers)

    @cached_property
    def chains(self) -> Steering:
        """The service chains."""
        return steering(self.topology, self.numbers, self.failed)

    @cached_property
    def transports(self) -> tuple[ChainTransport, ...]:
        """The transports that carry chains' frames between islands."""
        return chain_transports(self.topology, self.overlay, self.chains.tags)

    @cached_property
    def firewalled(self) -> dict[str, dict[int, Guarded]]:
        """Switch -> host ports that have a firewall."""
        return guarded(self.topology, self.numbers)

    @cached_property
    def gateways(self) -> dict[int, Gateway]:
        """Network's number -> the router in it."""
        return gateways(self.topology, self.numbers)

    @cached_property
    def answers(self) -> dict[int, tuple[Flow, ...]]:
        """Network's number -> the flows of RESOLVE that answer ARP and neighbour discovery in it."""
        shared = answers((*self.stations, *self.further))
        for station in (*self.stations, *self.further):
            if station.ipv4 is not None and station.name not in self.by_file:
                announced = announcement(station.network, station.ipv4, station.name, station.entity)
                shared[station.network] = (*shared[station.network], announced)
        for number, gateway in self.gateways.items():
            shared[number] = (*gateway_answers(gateway), *shared.get(number, ()))
        for endpoint in endpoints(self.topology):
            if endpoint.kind == "address translator" and endpoint.ipv4 is not None:
                number, entity = self.numbers[endpoint.network], endpoint.entity
                address, mac = int(endpoint.ipv4.ip), mac_number(endpoint.mac)
                answer = answer4(number, address, mac, endpoint.name, entity)
                shared[number] = (*shared.get(number, ()), answer)
        return shared

    @cached_property
    def routes(self) -> Mapping[int, tuple[Flow, ...]]:
        """Network's number -> the flows of ROUTE for frames in it."""
        behind: dict[int, list[Station]] = {}
        for station in (*self.stations, *self.further):
            behind.setdefault(station.network, []).append(station)
        return routes(self.gateways, behind)

    @cached_property
    def forwarding(self) -> Forwarding:
        """The FORWARD tables and groups of all switches."""
        island_of = islands(self.topology)
        chained = bool(self.chains.service.hops)
        nodes = [
            Node(
                island_of[switch.name],
                networks,
                self.by_switch.get(switch.name, ()),
                self.chains.travelling(switch.name) if chained else (),
                self.uplink_ports.get(switch.name, {}),
                transport_ports(self.overlay, switch.name),
                self.firewalled.get(switch.name, ()),
            )
            for switch, networks in zip(self.topology.switches, self.networks_at, strict=True)
        ]
        return forward(
            self.graph,
            nodes,
            isolate=len({endpoint.network for endpoint, _ in endpoints_at_ports(self.topology)}) > 1,
            chained=chained,
        )

    @cached_property
    def graph(self) -> Graph:
        """The switches and the links that work."""
        return Graph(self.topology, self.down_links, self.avoid)

    @cached_property
    def members(self) -> dict[str, dict[int, list[Member]]]:
        """Switch -> network's number -> the ports of its members there."""
        members: dict[str, dict[int, list[Member]]] = {}
        for switch, ports in self.access.items():
            guarded_ports, by_network = self.firewalled.get(switch, {}), members.setdefault(switch, {})
            for port, (_, number) in sorted(ports.items()):
                by_network.setdefault(number, []).append(Member(port, port in guarded_ports))
        return members

    @cached_property
    def broadcasts(self) -> Broadcasts:
        """The networks whose broadcasts follow trees: those that don't cross islands."""
        crossing = {self.numbers[uplink.network] for uplink in self.overlay.uplinks}
        at: dict[int, dict[int, list[Member]]] = {}
        for index, switch in enumerate(self.topology.switches):
            for number, some in self.members.get(switch.name, {}).items():
                if number not in crossing:
                    at.setdefault(number, {})[index] = some
        return broadcasts(at, tuple(self.numbers), bool(self.chains.service.hops))

    @cached_property
    def trees(self) -> dict[int, Tree]:
        """Network's number -> the tree of its broadcasts."""
        return self.broadcasts.trees(self.graph)

    @cached_property
    def uplink_ports(self) -> dict[str, dict[int, int]]:
        """Switch -> network's number -> port of its uplink to the overlay."""
        return {
            switch: {number: uplink.near.number for number, uplink in by_network.items()}
            for switch, by_network in self.crossing.uplinks.items()
        }

    @cached_property
    def populated(self) -> dict[int, frozenset[str]]:
        """Network's number -> switches that have an end system of it."""
        switches_of: dict[int, set[str]] = {}
        for endpoint, port in endpoints_at_ports(self.topology):
            switches_of.setdefault(self.numbers[endpoint.network], set()).add(port.switch)
        return {number: frozenset(switches) for number, switches in switches_of.items()}

    @cached_property
    def networks_at(self) -> list[frozenset[int]]:
        """Per switch: the networks that its hosts' frames can be in, before and after routing."""
        at: dict[str, set[int]] = {switch.name: set() for switch in self.topology.switches}
        for network, switches in reach(self.topology).items():
            for switch in switches:
                at[switch].add(self.numbers[network])
        return [frozenset(at[switch.name]) for switch in self.topology.switches]

    @cached_property
    def translators(self) -> dict[int, int]:
        """Hop at an address translator that switches run by flows -> its connection tracking zone."""
        tracked = function_zones(self.topology)
        return {
            number: tracked[hop.function]
            for number, hop in self.chains.service.hops.items()
            if self.chains.functions[hop.function].translates
        }

    @cached_property
    def by_file(self) -> frozenset[str]:
        """Names of all that have an address in the topology file."""
        return frozenset(owner.name for owner in owners(self.topology))


@dataclass(frozen=True)
class SwitchView:
    """One ordinary switch of a lab, the ``index``-th of the topology."""

    lab: LabView
    index: int
    name: str

    @cached_property
    def stations(self) -> Sequence[Station]:
        """Its stations."""
        return self.lab.by_switch.get(self.name, [])

    @cached_property
    def access(self) -> Mapping[int, tuple[str, int]]:
        """Its access ports -> their network's name and number."""
        return self.lab.access.get(self.name, {})

    @cached_property
    def behind(self) -> Mapping[int, Entity]:
        """Its access ports -> the host, or the function, that is behind each by the file."""
        return self.lab.behind.get(self.name, {})

    @cached_property
    def networks(self) -> frozenset[int]:
        """The networks of its access ports."""
        return frozenset(number for _, number in self.access.values())

    @cached_property
    def free(self) -> frozenset[int]:
        """Access ports that take any source address."""
        return self.lab.free.get(self.name, frozenset())

    @cached_property
    def exits(self) -> Mapping[int, Entity]:
        """Its ports of gateways of ways out, and what each is."""
        return self.lab.exits.get(self.name, {})

    @cached_property
    def trunks(self) -> Mapping[int, str]:
        """Its ports of links -> the link's name."""
        return self.lab.trunks.get(self.name, {})

    @cached_property
    def firewalled(self) -> Mapping[int, Guarded]:
        """Its host ports that have a firewall."""
        return self.lab.firewalled.get(self.name, {})

    @cached_property
    def passing(self) -> frozenset[int]:
        """Networks whose frames this switch forwards: its hosts' networks, and those that chains end in
        here."""
        return self.networks | self.lab.chains.leaving(self.name)
