"""The keys of checks of what is served, as they are written in a topology file."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from topologies.model.checks_of_services import DnsStatus, DnsType
from topologies.syntax.check_entry import BetweenSpec, Ends, Pattern
from topologies.syntax.fields import Bandwidth, Delay, Loss, Switched, Text
from topologies.syntax.service_specification import Interval, L4Port, UrlPath, choice, whole


class HttpSpec(BetweenSpec):
    """An HTTP request is answered."""

    port: L4Port | None = Field(None, description="The server's port; 80 when left out.")
    path: UrlPath | None = Field(None, description="The path that is asked for; / when left out.")
    method: Annotated[str, choice("method", "GET", "HEAD")] | None = Field(
        None, description="GET when left out."
    )
    status: Annotated[int, whole("status code", 100, 599)] | None = Field(
        None, description="The answer's status code; 200 when left out."
    )
    body: Pattern | None = Field(None, description="A regular expression that the answer's body has.")
    headers: dict[str, Pattern] | None = Field(
        None, description="Header fields of the answer, each with a regular expression that its value has."
    )


class DnsSpec(BetweenSpec):
    """A DNS server answers a query over UDP."""

    port: L4Port | None = Field(None, description="The server's port; 53 when left out.")
    query: Text | None = Field(None, description="The name that is asked for.", examples=["www.example.org"])
    type: Annotated[str, choice("record type", *get_args(DnsType))] | None = Field(
        None, description="The type of record; A when left out."
    )
    status: Annotated[str, choice("status", *get_args(DnsStatus))] | None = Field(
        None, description="The answer's code; NOERROR when left out."
    )
    answer: Ends | None = Field(None, description="What the answer has: an address, a name, a text.")


class LatencySpec(BetweenSpec):
    """The median round trip of pings."""

    least: Delay | None = Field(None, description="At least this time.", examples=["10ms"])
    most: Delay | None = Field(None, description="At most this time.", examples=["20ms"])
    count: Annotated[int, whole("number of pings", 1, 1000)] | None = Field(
        None, description="How many pings; 11 when left out."
    )


class RateSpec(BetweenSpec):
    """The rate of a transfer, at the receiver."""

    protocol: Annotated[str, choice("protocol", "tcp", "udp")] | None = Field(
        None, description="tcp when left out."
    )
    least: Bandwidth | None = Field(None, description="At least this rate.", examples=["10mbit"])
    most: Bandwidth | None = Field(None, description="At most this rate.", examples=["60mbit"])
    seconds: Interval | None = Field(None, description="How long it is measured; 2s when left out.")


class BalancedSpec(BetweenSpec):
    """New connections are shared out among the backends of a load balancer."""

    port: L4Port | None = Field(None, description="The balancer's port; its first one when left out.")
    connections: Annotated[int, whole("number of connections", 10, 10_000)] | None = Field(
        None, description="How many are opened from each source; 200 when left out."
    )
    shares: dict[str, Loss] | None = Field(
        None, description="Backend and its share, like 25%; by the weights when left out."
    )
    tolerance: Loss | None = Field(None, description="How much a share may differ; 10% when left out.")
    sticky: Switched | None = Field(
        None, description="All connections of a source go to one backend; false when left out."
    )
