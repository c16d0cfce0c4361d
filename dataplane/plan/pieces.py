"""The parts of a plan: ports, bridges, wires, hosts, instances, as plain values with names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

from dataplane.netlink.shaping import LARGEST
from topologies.model.choices import SDNLAB
from topologies.model.hosts import Host, Route
from topologies.model.needs_overlay import NSH_BYTES
from topologies.model.topology import Port, Shaping
from topologies.resolve.underlay import HOST_MTU

UNSHAPED = Shaping()
SpaceKind = Literal["host", "router", "quiet", "attached"]
"""The purposes of a network namespace: a host; a host that is a router; a function whose kernel sends nothing
of its own; a function with addresses in a tenant's network."""
LINK_MTU = HOST_MTU
"""The MTU of a link between switches for which the file has none, if that of no host is larger."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """A switch port: its device, its OpenFlow port number, and its patch peer (None: a system device).

    Open vSwitch must not change the queueing disciplines of a ``shaped`` port. ``tunnel``: Open vSwitch's own
    VXLAN port, which gets VNI and VTEP from the flow.
    """

    device: str
    number: int
    peer: str | None = None
    shaped: bool = False
    tunnel: bool = False

    @property
    def is_device(self) -> bool:
        """Whether a network device with its name must exist."""
        return self.peer is None and not self.tunnel


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """One switch as an Open vSwitch bridge."""

    switch: str
    device: str
    dpid: int
    ports: tuple[PortPlan, ...]
    controller: str = SDNLAB


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """One Open vSwitch instance: its namespace, its management address, its bridges.

    ``udp_timeouts``: connection tracking zone -> timeout of UDP connections in seconds.
    """

    name: str
    netns: str
    address: IPv4Interface
    bridges: tuple[BridgePlan, ...]
    udp_timeouts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class EndPlan:
    """One end of a wire: the network namespace and the name of its device (or patch port)."""

    netns: str
    device: str
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class WirePlan:
    """A veth pair from ``near`` (of a host or function; of a link: its first end) to the switch port ``far``.

    ``addresses``, ``gateways`` (default routes) and ``routes`` are those of the near end, ``mtu`` that of the
    near end, in bytes; a ``thick`` wire has it at both ends, and another wire at the far end if it is more
    than Ethernet's usual one.  ``shaping`` is from the near end to the far one, and back.  ``whole``: the
    near end sends packets without offloads (TSO, GSO, checksums).  ``largest``: bytes of the largest packet
    that it sends without segmentation.  ``table``: what its addresses send is routed by a table of its own,
    with this number; 0: by the main one.
    ``congestion``: TCP's congestion control at the near end; empty: the usual one.
    """

    near: EndPlan
    far: EndPlan
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    gateways: tuple[IPv4Address | IPv6Address, ...] = ()
    mtu: int = 1500
    shaping: Shaping = UNSHAPED
    thick: bool = False
    whole: bool = False
    largest: int = LARGEST
    table: int = 0
    congestion: str = ""
    routes: tuple[Route, ...] = ()
    back: WirePlan | None = None
    """The same wire as its far end has it, if that is in a host, too."""

    @property
    def views(self) -> tuple[WirePlan, ...]:
        """The wire as each end in a host or function has it as its near end."""
        return (self,) if self.back is None else (self, self.back)

    @property
    def unaddressed(self) -> WirePlan:
        """The same without addresses and routes."""
        return replace(self, addresses=(), gateways=(), routes=())

    @property
    def far_mtu(self) -> int:
        """The MTU of the far end, in bytes."""
        if self.back is not None:
            return self.back.mtu
        return self.mtu if self.thick else max(self.mtu, HOST_MTU)

    @property
    def ends(self) -> tuple[tuple[EndPlan, Shaping], tuple[EndPlan, Shaping]]:
        """Each end, and what is done to frames that leave there."""
        forth, back = self.shaping.ways
        return (self.near, forth), (self.far, back)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host's interface: its namespace and device, and the wire to its switch port. ``host``: what it is.

    Hosts with several interfaces have several of these, with one namespace. One on a wire to another host has
    no ``switch``, and ``far`` is the other host's interface.
    """

    name: str
    switch: str
    netns: str
    near: EndPlan
    far: EndPlan
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    gateways: tuple[IPv4Address | IPv6Address, ...]
    mtu: int
    shaping: Shaping
    host: Host
    names_file: str = ""
    """File name, in the lab's run directory, of the host's /etc/hosts; empty: the lab's."""
    whole: bool = False
    table: int = 0

    @property
    def kind(self) -> str:
        """What it is: a name in ``HOST_KINDS``."""
        return self.host.kind

    @property
    def wire(self) -> WirePlan:
        """Its wire to the switch, or to the other host, as it has it."""
        return WirePlan(
            self.near,
            self.far,
            self.addresses,
            self.gateways,
            self.mtu,
            self.shaping,
            whole=self.whole,
            table=self.table,
            congestion=self.host.congestion_control,
            routes=tuple(route for route in self.host.routes if route.to.prefixlen),
        )


@dataclass(frozen=True, slots=True)
class HostWirePlan:
    """A wire between two hosts: a veth pair. ``wire`` is as the first host has it."""

    name: str
    wire: WirePlan


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """An instance of a function: its namespace, and a wire for each of its devices (``in`` and ``out``;
    ``tap``; or ``eth0`` of a balancer, whose only instance has the function's name).

    All its wires go to ``switch``. The kernel of a ``quiet`` one must not send frames of its own.
    """

    name: str
    function: str
    switch: str
    netns: str
    wires: tuple[WirePlan, ...]
    quiet: bool
    names_file: str = ""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A wire between switches: a pair of patch ports, or a veth pair if a device is needed."""

    name: str
    kind: Literal["patch", "veth"]
    a: Port
    b: Port
    end_a: EndPlan
    end_b: EndPlan
    shaping: Shaping
    mtu: int = LINK_MTU

    @property
    def wire(self) -> WirePlan:
        """Its pair of devices, if it is a veth pair.

        They let a chain's NSH pass beside a packet. The kernel allows a VLAN tag (IEEE 802.1Q) in addition.
        """
        mtu = self.mtu + NSH_BYTES
        return WirePlan(self.end_a, self.end_b, mtu=mtu, shaping=self.shaping, thick=True)
