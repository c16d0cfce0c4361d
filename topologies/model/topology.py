"""What a lab is: the frozen, typed description every other part reads.

A ``Topology`` is fully resolved: every port has a number, every interface its
addresses, every switch its datapath id.  Nothing downstream allocates or guesses;
the rules by which the file's omissions are filled in stand in ``topologies.resolve.phases``.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Literal

from topologies.model.choices import NAMESPACE, SDNLAB
from topologies.model.functions import Chain
from topologies.model.kinds import AnyFunction
from topologies.model.places import NOWHERE, Places
from topologies.model.values import Frozen as Frozen
from topologies.model.values import Port as Port

if TYPE_CHECKING:
    from networkx import MultiGraph


class Domain(Frozen):
    """One virtual site: an Open vSwitch instance of its own in its own network namespace.

    ``controller``: that of its switches of which the file says nothing else.
    """

    name: str
    controller: str = SDNLAB


class Switch(Frozen):
    """An OpenFlow switch (an Open vSwitch bridge). ``dpid`` is its 64-bit datapath id.

    ``controller``: whose it is, one of ``topologies.model.choices.CONTROLLERS``; a ``vtep`` is always the
    lab's own.  ``role`` ``vtep``: not in the file, but made for each domain of a lab with an underlay; the
    tunnels of all its networks end there (see ``topologies.model.overlay``).
    """

    name: str
    domain: str
    dpid: int
    role: Literal["switch", "vtep"] = "switch"
    controller: str = SDNLAB


class Shaping(Frozen):
    """What a wire does to traffic, in each direction. None: nothing.

    ``bandwidth`` in bit/s, ``delay`` one-way in microseconds, ``loss`` as a fraction 0..1.
    """

    bandwidth: int | None = None
    delay: int | None = None
    loss: float | None = None

    def __bool__(self) -> bool:
        return self.bandwidth is not None or bool(self.delay) or bool(self.loss)


class Link(Frozen):
    """A wire between two switches. ``name`` is unique: ``s1-s2``, a parallel one ``s1-s2#2``."""

    name: str
    a: Port
    b: Port
    shaping: Shaping = Shaping()


class Network(Frozen):
    """A tenant's layer-2 segment; hosts reach each other inside one network only.

    ``vni``: its VXLAN network identifier (RFC 7348), set whenever the lab has an underlay.
    ``gateway4``, ``gateway6``: its router's addresses in it, set when it has one.
    """

    name: str
    vni: int | None = None
    subnet4: IPv4Network | None = None
    subnet6: IPv6Network | None = None
    gateway4: IPv4Interface | None = None
    gateway6: IPv6Interface | None = None

    @property
    def subnets(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Those that it has, IPv4's first."""
        return tuple(subnet for subnet in (self.subnet4, self.subnet6) if subnet is not None)

    def subnet(self, family: int) -> IPv4Network | IPv6Network | None:
        """Its subnet of IPv4 (``family`` 4) or IPv6 (6), if it has one."""
        return self.subnet4 if family == 4 else self.subnet6

    def gateway(self, family: int) -> IPv4Interface | IPv6Interface | None:
        """Its gateway's address of IPv4 (``family`` 4) or IPv6 (6), if it has one."""
        return self.gateway4 if family == 4 else self.gateway6


class Router(Frozen):
    """A tenant's distributed router between ``networks``: every switch routes at the first hop.

    ``mac`` answers for the gateway addresses on every switch alike; by default the address that
    RFC 9135 (4.1) names for anycast gateways.
    """

    name: str
    networks: tuple[str, ...]
    mac: str = "00:00:5e:00:01:01"


class UnderlayEnd(Frozen):
    """One end of an underlay link: a domain's or underlay router's interface and its address."""

    node: str
    address: IPv4Interface


class UnderlayLink(Frozen):
    """A wire between a domain and an underlay router, or two of either. ``name``: ``d1-r1``, ``d1-r1#2``."""

    name: str
    a: UnderlayEnd
    b: UnderlayEnd
    shaping: Shaping = Shaping()


class Vtep(Frozen):
    """A domain's VXLAN tunnel end point: its address in the underlay, and its ``vtep`` switch."""

    domain: str
    switch: str
    address: IPv4Address


class Underlay(Frozen):
    """The IP network between domains; it knows nothing of tenants.

    All its addresses are in ``subnet``.  ``mtu``: of its links, in bytes of IP packet.  ``tunnels``:
    ``kernel`` (a vxlan device of the kernel for each VNI, as a switch port), ``ovs`` (Open vSwitch's own
    tunnel port with ``key=flow``) or ``auto``, which the lab settles when it knows the datapath.
    """

    subnet: IPv4Network
    mtu: int
    tunnels: Literal["auto", "kernel", "ovs"] = "auto"
    routers: tuple[str, ...]
    links: tuple[UnderlayLink, ...]
    vteps: tuple[Vtep, ...]


class Server(Frozen):
    """A server that the lab runs in a host: ``http`` (each answer is the host's name), ``echo`` (RFC 862) or
    ``discard`` (RFC 863), the last two over TCP and UDP."""

    protocol: Literal["http", "echo", "discard"]
    port: int

    def __str__(self) -> str:
        return f"{self.protocol}:{self.port}"


class Host(Frozen):
    """An end system: one interface ``<name>-eth0`` on one switch port, in one network.

    ``kind``: one of ``topologies.model.choices.HOST_KINDS``.
    ``mac`` is lower case with colons.  At least one of ``ipv4`` and ``ipv6`` is set when
    its network has a subnet of that family.  ``shaping`` is that of the host's wire, ``mtu`` that of
    its interface in bytes.  ``allow_spoofing``: its port takes frames from any source address, and what
    the file does not know is learned; otherwise from its own addresses only.  ``serves``: sorted, no two
    of one port.
    """

    name: str
    kind: str = NAMESPACE
    network: str
    port: Port
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    mtu: int = 1500
    allow_spoofing: bool = False
    shaping: Shaping = Shaping()
    serves: tuple[Server, ...] = ()

    @property
    def interface(self) -> str:
        return f"{self.name}-eth0"


class Topology(Frozen):
    """A whole lab. Every tuple is sorted by name (naturally: s2 before s10).

    ``places``: where in the file the lab's entries stand. Two topologies that differ in nothing else are
    equal: they are the same lab.
    """

    name: str
    description: str = ""
    domains: tuple[Domain, ...]
    networks: tuple[Network, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]
    hosts: tuple[Host, ...]
    routers: tuple[Router, ...] = ()
    underlay: Underlay | None = None
    functions: tuple[AnyFunction, ...] = ()
    chains: tuple[Chain, ...] = ()
    places: Places = NOWHERE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topology) and self._lab() == other._lab()

    def __hash__(self) -> int:
        return hash(tuple(self._lab().values()))

    def _lab(self) -> dict[str, object]:
        """All fields but ``places``."""
        return {name: value for name, value in self.__dict__.items() if name != "places"}

    def graph(self) -> MultiGraph[str]:
        """What is joined to what, as a graph of networkx (see ``topologies.model.graph``)."""
        from topologies.model import graph

        return graph.graph(self)
