"""A load balancer's virtual addresses, with what their families' fields are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.flow.tables import Field
from topologies.model.functions import Balancer
from wire.ethertype import IPV4, IPV6


class Family(NamedTuple):
    """A virtual address, and its family's Ethernet type and fields."""

    version: int
    kind: Field
    source: str
    destination: str
    address: int


def families(balancer: Balancer) -> Iterator[Family]:
    """All virtual addresses of the service."""
    for address in balancer.addresses:
        if address.version == 4:
            yield Family(4, Field("eth_type", IPV4), "ip_src", "ip_dst", int(address.ip))
        else:
            yield Family(6, Field("eth_type", IPV6), "ipv6_src", "ipv6_dst", int(address.ip))
