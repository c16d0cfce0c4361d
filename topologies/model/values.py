"""The smallest parts of the model, which the others use."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from pydantic import BaseModel, ConfigDict

MAX_VNI = (1 << 24) - 1
"""The highest VXLAN network identifier (RFC 7348, section 5)."""


MAX_VLAN = 4094
"""The highest VLAN identifier of a network (IEEE 802.1Q, 9.6: 0 and 4095 are reserved)."""


class Frozen(BaseModel):
    """A value: it never changes, is compared by content, and has no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Port(Frozen):
    """One port of a switch; ``number`` is the OpenFlow port number (1..65279)."""

    switch: str
    number: int

    def __str__(self) -> str:
        return f"{self.switch}:{self.number}"


class WayOut(Frozen):
    """A network's way out of the lab: its ``gateway`` is a host of ``topology.hosts``.

    ``open``: the network's hosts reach the machine's network; otherwise the gateway only brings in what is
    published.
    """

    network: str
    gateway: str
    open: bool = True

    @property
    def name(self) -> str:
        """What the file calls it: the network."""
        return self.network


class Published(Frozen):
    """A TCP port of the machine's loopback address that leads to port ``to`` of a host."""

    port: int
    host: str
    to: int

    @property
    def name(self) -> str:
        """What the file calls it: the port."""
        return str(self.port)

    @property
    def target(self) -> str:
        """Where it leads, as in the file: ``web1:80``."""
        return f"{self.host}:{self.to}"


def host_prefix(interface: IPv4Interface | IPv6Interface) -> IPv4Network | IPv6Network:
    """The prefix with only the address of the interface: a /32 or a /128."""
    address = int(interface.ip)
    return IPv4Network(address) if interface.version == 4 else IPv6Network(address)
