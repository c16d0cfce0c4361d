"""Network functions and service chains (terms of RFC 7665).

Like the rest of the model, these values are resolved: they have prefixes instead of names of hosts, and ports
with numbers. ``topologies.model.service_paths`` derives paths, hops and classifier entries from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from topologies.model.attachment import Attachment, Flows, Instance
from topologies.model.values import Frozen, Port

Prefixes = tuple[IPv4Network | IPv6Network, ...]
"""Addresses that match; when empty, every address matches."""
PortRanges = tuple[tuple[int, int], ...]
"""Inclusive ranges of TCP, UDP or SCTP ports; when empty, every port matches."""
Protocol = Literal["tcp", "udp", "sctp", "icmp", "icmpv6"]
Policy = Literal["open", "closed"]


UDP_TIMEOUT = 120
"""Seconds for which a UDP connection is remembered after its last packet, when the file gives no other time.
RFC 4787, REQ-5, demands at least two minutes."""


class Rule(Frozen):
    """One rule of a firewall; the first one that matches a new connection decides.

    ``rate``: at most so many new connections a second are accepted, the rest is dropped. ``log``: each
    new connection that the rule decides is an event. A rule with addresses of one family matches only
    this family; a rule without addresses matches both.
    """

    name: str
    action: Literal["accept", "drop", "reject"]
    source: Prefixes = ()
    destination: Prefixes = ()
    protocol: Protocol | None = None
    source_ports: PortRanges = ()
    destination_ports: PortRanges = ()
    log: bool = False
    rate: int | None = None


class Firewall(Frozen):
    """A stateful rule set. ``default`` decides about new connections that no rule matches. ``udp_timeout``:
    seconds for which a UDP connection is remembered after its last packet."""

    rules: tuple[Rule, ...]
    default: Literal["accept", "drop", "reject"] = "drop"
    udp_timeout: int = UDP_TIMEOUT


class Backend(Frozen):
    """A server behind a load balancer: a host of the lab. ``weight``: 1..256; ``port``: where it listens
    and is checked. ``same_port``: it listens at all ports of the balancer; ``port`` is the first of
    them."""

    host: str
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    port: int
    weight: int = 1
    same_port: bool = False


class HealthCheck(Frozen):
    """How a backend is checked: ``interval`` and ``timeout`` in microseconds; ``rise`` and ``fall`` in equal
    results in a row. ``path``: for ``http`` checks."""

    kind: Literal["tcp", "icmp", "http"] = "tcp"
    interval: int = 500_000
    timeout: int = 500_000
    rise: int = 2
    fall: int = 2
    path: str = "/"


class HttpRule(Frozen):
    """Layer 7: requests with this path prefix and host name (None: any) go only to these backends."""

    path: str | None = None
    host: str | None = None
    backends: tuple[str, ...]


class Balancer(Frozen):
    """A virtual service: ``port`` and ``more_ports`` at the virtual addresses ``ipv4``, ``ipv6`` and
    ``more_addresses``.

    It has its own namespace at the switch port ``at``, with ``mac`` and all the addresses. HAProxy runs
    there, or, if flows do the work, health checks and the answers to refused connections.

    ``hash``: the fields that choose the backend of a new connection. ``former``: hosts with ports that were
    backends earlier in the running lab; their connections are reset. ``udp_timeout``: as in ``Firewall``.
    """

    network: str
    at: Port
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    port: int
    backends: tuple[Backend, ...]
    hash: Literal["5-tuple", "source"] = "5-tuple"
    check: HealthCheck = HealthCheck()
    http: tuple[HttpRule, ...] = ()
    former: tuple[Backend, ...] = ()
    udp_timeout: int = UDP_TIMEOUT
    more_ports: tuple[int, ...] = ()
    more_addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """All virtual addresses, the first one of each family first."""
        return (*(address for address in (self.ipv4, self.ipv6) if address is not None), *self.more_addresses)

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports, beginning with the first one."""
        return (self.port, *self.more_ports)

    def reached_at(self, backend: Backend) -> tuple[int, ...]:
        """The ports of a backend to which connections are translated."""
        return self.ports if backend.same_port else (backend.port,)


class Dhcp(Frozen):
    """A DHCP and DNS server of ``network``, in a namespace of its own at the switch port ``at``, with ``mac``
    and these addresses. Its leases and names are the hosts and addresses of the topology."""

    network: str
    at: Port
    mac: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface | None = None

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Its addresses, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)


class Forward(Frozen):
    """A port forward: packets to ``port`` of the NAT's address go to ``to_port`` of ``host``."""

    protocol: Literal["tcp", "udp"]
    port: int
    host: str
    ipv4: IPv4Interface
    to_port: int


class Nat(Frozen):
    """Hosts share the address ``ipv4`` in ``network`` (RFC 3022, NAPT); ``mac`` is its MAC address there.
    ``udp_timeout``: as in ``Firewall``."""

    network: str
    mac: str
    ipv4: IPv4Interface
    forwards: tuple[Forward, ...] = ()
    udp_timeout: int = UDP_TIMEOUT


class RateLimit(Frozen):
    """``bandwidth`` in bits per second, in each direction; ``burst`` in bytes that may pass at once."""

    bandwidth: int
    burst: int = 65536


class Script(Frozen):
    """A user's function: the content of its Python file, and the form in which it gets packets."""

    file: str
    source: str
    packets: Literal["bytes", "scapy"] = "bytes"


class Ids(Frozen):
    """The rules of an intrusion detection function, in Suricata's language, and the ``files`` that they
    are from.

    ``lines``: the number of lines of ``rules`` from each source: the topology file first, if it has
    rules, then each file. ``encoding``: how to turn the text back into bytes, which rules are. It is
    latin-1, one byte for each character, when any source is not UTF-8.
    """

    rules: str
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    files: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()


class _IsAttachment:
    """Annotates a field whose value is an ``Attachment`` already. To let pydantic check its parts, for
    each kind of function, would add 20 ms to every start."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(get_args(Attachment))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {}


class Function(Frozen, ABC):
    """A virtual network function: the base of the classes in ``topologies.model.kinds``, one for each kind.

    ``attachment``: how it is attached to the lab (``topologies.model.attachment``). ``on_failure``: what
    happens to traffic while no instance works.
    """

    rewrites: ClassVar[bool] = False
    """Whether it changes addresses of packets, when it is done by flows."""
    remembers: ClassVar[bool] = True
    """Whether it has state of connections, which is lost with it."""
    predictable: ClassVar[bool] = True
    """Whether the topology says which packets it lets through."""

    name: str
    kind: str
    engine: str
    attachment: Annotated[Attachment, _IsAttachment()]
    on_failure: Policy = "closed"

    @property
    def switch(self) -> str | None:
        """The switch that it is attached to; None when it is at many."""
        return self.attachment.switch

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Its running copies; none when no process gets frames."""
        return self.attachment.instances

    @property
    def translates(self) -> bool:
        """Whether switches change the addresses of packets for it."""
        return self.rewrites and isinstance(self.attachment, Flows)

    @property
    @abstractmethod
    def part(self) -> Frozen | None:
        """The fields that only its kind has, if there are any."""

    def made_like(self, other: Function) -> bool:
        """Whether both have the same kind and engine, and are attached in the same way to the same switch."""
        return (self.kind, self.engine, self.attachment.mode, self.switch) == (
            other.kind, other.engine, other.attachment.mode, other.switch
        )  # fmt: skip

    @property
    def udp_timeout(self) -> int:
        """Seconds for which it remembers a UDP connection after its last packet."""
        return UDP_TIMEOUT

    @property
    def end_system(self) -> Port | None:
        """The switch port of its own end system, if it has one besides its instances."""
        return None

    @property
    def needs_whole_packets(self) -> bool:
        """Whether its packets must be segmented and checksummed already: users' code and Suricata
        cannot pass on packets whose segmentation or checksum is left to offloads."""
        return False


class Chain(Frozen):
    """A service function chain (RFC 7665): the packets that it takes (its classifier), and its functions.

    Packets from ``source`` to ``destination`` that hosts of ``network`` send pass ``functions`` in order.
    If ``symmetric``, packets in the other direction, which hosts of ``far_network`` send, pass them in
    reverse order. ``direction`` ``both``: it also takes connections that the destination opens. ``path``:
    its number (1..255), unique among the chains and taps of the lab; when its functions change, it gets a
    new one, so the old and the new path can exist at the same time. Of two chains that match a packet,
    the one with the higher ``priority`` takes it. ``implicit``: it is added for the traffic to a load
    balancer that no chain takes.
    """

    name: str
    path: int
    network: str
    far_network: str
    source: Prefixes = ()
    destination: Prefixes = ()
    protocol: Protocol | None = None
    source_ports: PortRanges = ()
    destination_ports: PortRanges = ()
    direction: Literal["forward", "both"] = "forward"
    functions: tuple[str, ...]
    symmetric: bool = True
    on_failure: Policy | None = None
    encapsulation: Literal["auto", "vlan", "nsh"] = "auto"
    priority: int = 0
    implicit: bool = False
