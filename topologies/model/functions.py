"""Network functions and service chains: the part of the model that NFV is about (terms of RFC 7665).

Like the rest of the model these values are resolved: prefixes instead of names of hosts, ports with
numbers.  What follows from them (paths, hops, classifier entries) is derived in
``topologies.model.service_paths``.
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
"""Addresses that match; none at all: any address."""
PortRanges = tuple[tuple[int, int], ...]
"""Inclusive ranges of TCP, UDP or SCTP ports; none at all: any port."""
Protocol = Literal["tcp", "udp", "sctp", "icmp", "icmpv6"]
Policy = Literal["open", "closed"]


UDP_TIMEOUT = 120
"""Seconds for which a silent UDP connection is remembered, when the file says nothing: RFC 4787, REQ-5, asks
for two minutes at least."""


class Rule(Frozen):
    """One rule of a firewall; the first that matches a new connection decides.

    ``rate``: at most so many new connections a second are accepted, what is above is dropped. ``log``: each
    new connection that it decides is an event.  A rule with addresses of one family is about that
    family alone; without any it is about both.
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
    """A stateful rule set. ``default`` decides on new connections that no rule matches. ``udp_timeout``:
    seconds for which a silent UDP connection is remembered."""

    rules: tuple[Rule, ...]
    default: Literal["accept", "drop", "reject"] = "drop"
    udp_timeout: int = UDP_TIMEOUT


class Backend(Frozen):
    """A server behind a load balancer: a host of the lab. ``weight`` 1..256; ``port`` where it listens and is
    checked.  ``same_port``: it listens at every port of the balancer, of which ``port`` is the first."""

    host: str
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    port: int
    weight: int = 1
    same_port: bool = False


class HealthCheck(Frozen):
    """How a backend is tried: ``interval`` and ``timeout`` in microseconds; ``rise`` and ``fall`` in
    results in a row. ``path``: of a ``http`` check."""

    kind: Literal["tcp", "icmp", "http"] = "tcp"
    interval: int = 500_000
    timeout: int = 500_000
    rise: int = 2
    fall: int = 2
    path: str = "/"


class HttpRule(Frozen):
    """Layer 7: requests with this path prefix and host name (None: any) go to these backends only."""

    path: str | None = None
    host: str | None = None
    backends: tuple[str, ...]


class Balancer(Frozen):
    """A virtual service: ``port``, and ``more_ports``, at the virtual addresses: ``ipv4``, ``ipv6`` and
    ``more_addresses``. Its own namespace (``at``, with ``mac`` and all of them) answers for it: HAProxy runs
    there, or, with flows, the health checks and what is refused.

    ``hash``: which fields choose the backend of a new connection.  ``former``: what were backends earlier in
    the running lab and are none now: their connections, by host and port, are reset.  ``udp_timeout``: as
    a firewall's.
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
        """All of them, the first of each family first."""
        return (*(address for address in (self.ipv4, self.ipv6) if address is not None), *self.more_addresses)

    @property
    def ports(self) -> tuple[int, ...]:
        """All of them, the first first."""
        return (self.port, *self.more_ports)

    def reached_at(self, backend: Backend) -> tuple[int, ...]:
        """The ports of a backend that connections are translated to."""
        return self.ports if backend.same_port else (backend.port,)


class Forward(Frozen):
    """A port forward: what comes to ``port`` of the translator goes to ``to_port`` of ``host``."""

    protocol: Literal["tcp", "udp"]
    port: int
    host: str
    ipv4: IPv4Interface
    to_port: int


class Nat(Frozen):
    """Masquerading behind ``ipv4`` (RFC 3022, NAPT) in ``network``, where ``mac`` answers for it.
    ``udp_timeout``: as a firewall's."""

    network: str
    mac: str
    ipv4: IPv4Interface
    forwards: tuple[Forward, ...] = ()
    udp_timeout: int = UDP_TIMEOUT


class RateLimit(Frozen):
    """Bits a second in each direction, and bytes that may come at once."""

    bandwidth: int
    burst: int = 65536


class Script(Frozen):
    """A user's function: the Python file's content, and how packets are handed to it."""

    file: str
    source: str
    packets: Literal["bytes", "scapy"] = "bytes"


class Ids(Frozen):
    """Rules of an intrusion detection function, as text in Suricata's language; ``files`` say where from.

    ``lines``: how many lines of ``rules`` are whose, in order; what the topology itself has comes first.
    ``encoding``: the bytes that the text stands for; each character is one byte in latin-1, which is said of
    all of it when a file is not UTF-8, for rules are bytes.
    """

    rules: str
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    files: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()


class _IsAttachment:
    """Annotates a field that takes an attachment as it is. pydantic's own checks of what it consists of, for
    each kind of function, would take 20 ms of every start."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(get_args(Attachment))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {}


class Function(Frozen, ABC):
    """A virtual network function: what all kinds have. ``topologies.model.kinds`` has a class for each kind.

    ``attachment``: where frames meet it, and how (``topologies.model.attachment``).  ``on_failure``: what
    becomes of traffic while no instance works.
    """

    rewrites: ClassVar[bool] = False
    """Whether it changes addresses of what passes it, when flows do it."""
    remembers: ClassVar[bool] = True
    """Whether it knows something of connections that would be lost with it."""
    predictable: ClassVar[bool] = True
    """Whether the topology says what it lets through."""

    name: str
    kind: str
    engine: str
    attachment: Annotated[Attachment, _IsAttachment()]
    on_failure: Policy = "closed"

    @property
    def switch(self) -> str | None:
        """The switch that it is attached to; None: to no single one."""
        return self.attachment.switch

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Its running copies; none where it has no process in the way of frames."""
        return self.attachment.instances

    @property
    def translates(self) -> bool:
        """Whether switches change the addresses of what passes it."""
        return self.rewrites and isinstance(self.attachment, Flows)

    @property
    @abstractmethod
    def part(self) -> Frozen | None:
        """What its kind alone has, if that is anything."""

    def made_like(self, other: Function) -> bool:
        """Whether both are of one kind and engine, attached in one way to one switch."""
        return (self.kind, self.engine, self.attachment.mode, self.switch) == (
            other.kind, other.engine, other.attachment.mode, other.switch
        )  # fmt: skip

    @property
    def udp_timeout(self) -> int:
        """Seconds for which it remembers a silent UDP connection."""
        return UDP_TIMEOUT

    @property
    def end_system(self) -> Port | None:
        """The port of the end system that it has of its own, beside its instances, if it has one."""
        return None

    @property
    def needs_whole_packets(self) -> bool:
        """Whether it gets its packets cut and checksummed by the kernel: code of users, and Suricata, which
        cannot pass on what was left to others."""
        return False


class Chain(Frozen):
    """A service function chain (RFC 7665): what it takes (the classifier), and through which functions.

    Packets from ``source`` to ``destination`` that hosts of ``network`` send pass ``functions`` in order;
    if ``symmetric``, packets the other way, which hosts of ``far_network`` send, pass them in reverse order.
    ``direction`` ``both``: connections that the destination opens are taken, too.
    ``path`` numbers it (1..255), unique among the lab's chains and taps; a changed list of functions gets a
    new one, so that old and new can be there at once.  Of two chains that match a packet, the one of higher
    ``priority`` takes it.  ``implicit``: made for a load balancer that traffic reaches outside of any chain.
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
