"""The address families in which a load balancer has a virtual address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.tables import Field
from controller.tracking import IPV4, IPV6
from topologies.functions import Balancer


class Family(NamedTuple):
    """One family of a virtual service: its Ethernet type, and its virtual address."""

    version: int
    kind: Field
    source: str
    destination: str
    address: int


def families(balancer: Balancer) -> Iterator[Family]:
    """The families in which the service has a virtual address."""
    if balancer.ipv4 is not None:
        yield Family(4, Field("eth_type", IPV4), "ip_src", "ip_dst", int(balancer.ipv4.ip))
    if balancer.ipv6 is not None:
        yield Family(6, Field("eth_type", IPV6), "ipv6_src", "ipv6_dst", int(balancer.ipv6.ip))
