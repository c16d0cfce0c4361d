"""What a lab is: the frozen, typed description every other part reads.

A ``Topology`` is fully resolved: every port has a number, every interface its
addresses, every switch its datapath id.  Nothing downstream allocates or guesses;
the rules by which the file's omissions are filled in stand in ``topologies.resolve``.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: compared by content, hashable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Domain(Frozen):
    """One virtual site: an Open vSwitch instance of its own in its own network namespace."""

    name: str


class Switch(Frozen):
    """An OpenFlow switch (an Open vSwitch bridge). ``dpid`` is its 64-bit datapath id."""

    name: str
    domain: str
    dpid: int


class Port(Frozen):
    """One port of a switch; ``number`` is the OpenFlow port number (1..65279)."""

    switch: str
    number: int

    def __str__(self) -> str:
        return f"{self.switch}:{self.number}"


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
    """A tenant's layer-2 segment; hosts reach each other inside one network only."""

    name: str
    subnet4: IPv4Network | None = None
    subnet6: IPv6Network | None = None


class Host(Frozen):
    """An end system: one interface ``<name>-eth0`` on one switch port, in one network.

    ``mac`` is lower case with colons.  At least one of ``ipv4`` and ``ipv6`` is set when
    its network has a subnet of that family.  ``shaping`` is that of the host's wire.
    """

    name: str
    kind: Literal["namespace"] = "namespace"
    network: str
    port: Port
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    shaping: Shaping = Shaping()

    @property
    def interface(self) -> str:
        return f"{self.name}-eth0"


class Topology(Frozen):
    """A whole lab. Every tuple is sorted by name (naturally: s2 before s10)."""

    name: str
    description: str = ""
    domains: tuple[Domain, ...]
    networks: tuple[Network, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]
    hosts: tuple[Host, ...]
