"""The model of a lab: the frozen, typed description that every other part reads.

A ``Topology`` is fully resolved: every port has a number, every interface its addresses, every switch its
datapath id. Nobody who reads it allocates or guesses anything. ``topologies.resolve.phases`` fills in what a
file leaves out.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Literal

from topologies.model.applications import Application
from topologies.model.checks import AnyCheck
from topologies.model.choices import NO_PART_OF_LABS, SDNLAB
from topologies.model.functions import Chain
from topologies.model.hosts import AnyHost
from topologies.model.hosts import Host as Host
from topologies.model.hosts import Server as Server
from topologies.model.hosts import Shaping as Shaping
from topologies.model.kinds import AnyFunction
from topologies.model.notes import Note
from topologies.model.places import NOWHERE, Places
from topologies.model.storage import NO_STORAGE, Storage
from topologies.model.values import Frozen as Frozen
from topologies.model.values import Port as Port
from topologies.model.values import Published as Published
from topologies.model.values import WayOut as WayOut
from topologies.model.wording import UNNAMED, Wording

if TYPE_CHECKING:
    from networkx import MultiGraph


class Domain(Frozen):
    """A virtual site: it has its own Open vSwitch instance in its own network namespace.

    ``controller``: the controller of its switches for which the file names none.
    """

    name: str
    controller: str = SDNLAB


class Switch(Frozen):
    """An OpenFlow switch (an Open vSwitch bridge). ``dpid`` is its 64-bit datapath id.

    ``controller``: one of ``topologies.model.choices.CONTROLLERS``, or an application of the topology; that
    of a ``vtep`` is always the lab's own. ``role`` ``vtep``: the tunnel switch of a domain in a lab with an
    underlay. It is not in the file; the tunnels of all networks end there (see ``topologies.model.overlay``).
    """

    name: str
    domain: str
    dpid: int
    role: Literal["switch", "vtep"] = "switch"
    controller: str = SDNLAB


class Link(Frozen):
    """A wire between two switches. ``name`` is unique: ``s1-s2``; a second one is ``s1-s2#2``.

    ``mtu``: the largest IP packet that it carries, in bytes.
    """

    name: str
    a: Port
    b: Port
    mtu: int = 1500
    shaping: Shaping = Shaping()


class Network(Frozen):
    """A layer-2 segment of a tenant; hosts reach each other only inside one network.

    ``vni``: its VXLAN network identifier (RFC 7348), if the lab has an underlay. ``vlan``: the identifier in
    the tags of its frames on trunks (IEEE 802.1Q), if the file gives one; unique in the lab. ``gateway4``,
    ``gateway6``: the addresses of its router in it, if it has one.
    """

    name: str
    vni: int | None = None
    vlan: int | None = None
    subnet4: IPv4Network | None = None
    subnet6: IPv6Network | None = None
    gateway4: IPv4Interface | None = None
    gateway6: IPv6Interface | None = None

    @property
    def subnets(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The subnets that it has, IPv4 first."""
        return tuple(subnet for subnet in (self.subnet4, self.subnet6) if subnet is not None)

    @property
    def gateways(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The addresses of its gateway that it has, IPv4 first."""
        return tuple(gateway for gateway in (self.gateway4, self.gateway6) if gateway is not None)

    def subnet(self, family: int) -> IPv4Network | IPv6Network | None:
        """Its subnet of the address family 4 or 6, if it has one."""
        return self.subnet4 if family == 4 else self.subnet6

    def gateway(self, family: int) -> IPv4Interface | IPv6Interface | None:
        """The address of its gateway in the address family 4 or 6, if it has one."""
        return self.gateway4 if family == 4 else self.gateway6


class Router(Frozen):
    """A distributed router between ``networks`` of a tenant: every switch routes at the first hop.

    ``mac``: the MAC address of its gateways, the same on every switch; by default the one that RFC 9135 (4.1)
    gives for anycast gateways.
    """

    name: str
    networks: tuple[str, ...]
    mac: str = "00:00:5e:00:01:01"


class UnderlayEnd(Frozen):
    """One end of an underlay link: the interface of a domain or underlay router, with its address."""

    node: str
    address: IPv4Interface


class UnderlayLink(Frozen):
    """A wire between a domain and an underlay router, or two of either. ``name``: ``d1-r1``, ``d1-r1#2``."""

    name: str
    a: UnderlayEnd
    b: UnderlayEnd
    shaping: Shaping = Shaping()


class Vtep(Frozen):
    """The VXLAN tunnel end point of a domain: its address in the underlay, and its tunnel switch."""

    domain: str
    switch: str
    address: IPv4Address


class Underlay(Frozen):
    """The IP network between domains; it knows nothing of tenants.

    All its addresses are in ``subnet``. ``mtu``: the largest IP packet on its links, in bytes.
    ``tunnels``: ``kernel`` (a vxlan device of the kernel for each VNI, as a switch port), ``ovs`` (Open
    vSwitch's own tunnel port with ``key=flow``), or ``auto``: the lab decides when it knows the datapath.
    """

    subnet: IPv4Network
    mtu: int
    tunnels: Literal["auto", "kernel", "ovs"] = "auto"
    routers: tuple[str, ...]
    links: tuple[UnderlayLink, ...]
    vteps: tuple[Vtep, ...]


class Topology(Frozen):
    """A whole lab. Every tuple is sorted by name, in natural order (s2 before s10).

    ``outside``: its ways out (see ``topologies.model.outside``); ``publish``: sorted by port.
    ``checks``: what must hold in it, in the order of the file. ``places``: the lines of its entries in the
    file. ``notes``: what it has otherwise than the file of another tool says, in the order of lines.
    ``wording``: the file's names for addresses. Two topologies that differ only in these are equal: they
    describe the same lab.
    """

    name: str
    description: str = ""
    domains: tuple[Domain, ...]
    networks: tuple[Network, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]
    hosts: tuple[AnyHost, ...]
    routers: tuple[Router, ...] = ()
    underlay: Underlay | None = None
    functions: tuple[AnyFunction, ...] = ()
    chains: tuple[Chain, ...] = ()
    storage: Storage = NO_STORAGE
    outside: tuple[WayOut, ...] = ()
    publish: tuple[Published, ...] = ()
    applications: tuple[Application, ...] = ()
    checks: tuple[AnyCheck, ...] = ()
    places: Places = NOWHERE
    notes: tuple[Note, ...] = ()
    wording: Wording = UNNAMED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topology) and self._lab() == other._lab()

    def __hash__(self) -> int:
        return hash(tuple(self._lab().values()))

    def _lab(self) -> dict[str, object]:
        """All fields that describe the lab."""
        return {name: value for name, value in self.__dict__.items() if name not in NO_PART_OF_LABS}

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The hosts themselves: ``hosts`` without the further interfaces of hosts that have several."""
        return tuple(host for host in self.hosts if not host.of)

    @property
    def attached(self) -> tuple[Host, ...]:
        """The interfaces on switch ports: ``hosts`` without those on wires between hosts."""
        if all(host.port is not None for host in self.hosts):
            return self.hosts
        return tuple(host for host in self.hosts if host.port is not None)

    @property
    def switched(self) -> tuple[Network, ...]:
        """The networks that switches carry: ``networks`` without those of wires between hosts."""
        alone = {host.network for host in self.hosts if host.port is None}
        return (
            tuple(network for network in self.networks if network.name not in alone)
            if alone
            else self.networks
        )

    @property
    def further(self) -> dict[str, tuple[Host, ...]]:
        """Host -> its interfaces after the first one, of hosts that have several."""
        several: dict[str, tuple[Host, ...]] = {}
        for entry in self.hosts:
            if entry.of:
                several[entry.of] = (*several.get(entry.of, ()), entry)
        return several

    @property
    def by_apps(self) -> dict[str, str]:
        """Switch -> the application that controls it. What these do is in no file."""
        known = {application.name for application in self.applications}
        return {switch.name: switch.controller for switch in self.switches if switch.controller in known}

    def graph(self) -> MultiGraph[str]:
        """What is joined to what, as a graph of networkx (see ``topologies.model.graph``)."""
        from topologies.model import graph

        return graph.graph(self)
