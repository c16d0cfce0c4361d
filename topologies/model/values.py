"""The smallest parts of the model, which the others use."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from pydantic import BaseModel, ConfigDict

MAX_VNI = (1 << 24) - 1
"""The highest VXLAN network identifier (RFC 7348, section 5)."""


class Frozen(BaseModel):
    """A value: it never changes, is compared by content, and has no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Port(Frozen):
    """One port of a switch; ``number`` is the OpenFlow port number (1..65279)."""

    switch: str
    number: int

    def __str__(self) -> str:
        return f"{self.switch}:{self.number}"


def host_prefix(interface: IPv4Interface | IPv6Interface) -> IPv4Network | IPv6Network:
    """The prefix with only the address of the interface: a /32 or a /128."""
    address = int(interface.ip)
    return IPv4Network(address) if interface.version == 4 else IPv6Network(address)
