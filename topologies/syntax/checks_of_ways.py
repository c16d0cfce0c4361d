"""The keys of checks of ways, flows and failures, as they are written in a topology file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topologies.model.values import MAX_VNI
from topologies.syntax.check_entry import CheckInside, Ends, WithProtocol, Words
from topologies.syntax.fields import Name, Spec, Switched, Text
from topologies.syntax.service_specification import choice, whole


class TraversesSpec(WithProtocol):
    """Packets pass exactly these functions in this order."""

    functions: Ends | None = Field(None, description="The functions, in order.", examples=[["fw", "ids"]])
    back: Ends | None = Field(
        None, description="The functions that answers pass, in order; the same in reverse when left out."
    )


class AvoidsSpec(WithProtocol):
    """Packets and their answers pass none of these functions."""

    functions: Ends | None = Field(None, description="The functions.")


class EncapsulatedSpec(WithProtocol):
    """Packets cross the underlay in VXLAN."""

    vni: Annotated[int, whole("VNI", 1, MAX_VNI)] | None = Field(
        None, description="Their network identifier; that of the source's network when left out."
    )
    link: Name | None = Field(
        None, description="The underlay link that they cross; any when left out.", examples=["d1-r1"]
    )
    outer: Ends | None = Field(
        None,
        description="The two domains whose VTEPs' addresses they have; those of the hosts when left out.",
        examples=[["d1", "d2"]],
    )


class FlowSpec(Spec):
    """A flow table holds a flow, or does not."""

    switch: Name | None = Field(None, description="The switch.")
    table: Text | None = Field(None, description="The table's name, as `sdnlab flows` has it.")
    match: Ends | None = Field(
        None, description="Fields that its match has, as `sdnlab flows` writes them.", examples=["in_port=3"]
    )
    actions: Ends | None = Field(None, description="Actions that it has.", examples=["output:3"])
    present: Switched | None = Field(None, description="Whether there is such a flow; true when left out.")


class AlertsSpec(Spec):
    """While a command runs, a signature of an IDS fires, or does not."""

    host: Ends | None = Field(None, description="Where the command runs.")
    run: Words | None = Field(None, description="A line for /bin/sh, or a list.")
    signature: Annotated[int, whole("signature id", 1, (1 << 32) - 1)] | None = Field(
        None, description="The signature's id (sid)."
    )
    fires: Switched | None = Field(None, description="Whether it fires; true when left out.")


class PacketSpec(Spec):
    """A packet that is sent at a host arrives at others."""

    at: Name | None = Field(None, description="The host that sends it.")
    send: Text | None = Field(
        None,
        description="The packet, as scapy's users write it.",
        examples=['IP(dst="10.0.0.2")/TCP(dport=80)'],
    )
    there: Ends | None = Field(None, description="The hosts at which it is expected.")
    expect: Text | None = Field(
        None, description="How it looks there: the fields that are named are compared; `send` when left out."
    )
    count: Annotated[str, choice("count", "once", "some", "none")] | None = Field(
        None, description="once (when left out), some: at least once, none: nowhere."
    )


class SurvivesSpec(Spec):
    """A check holds before and after something is broken; then it is repaired."""

    cut: Name | None = Field(None, description="A link or a host's wire that is cut.", examples=["s1-s2"])
    kill: Name | None = Field(
        None, description="A function, an instance of one (fw.1), a domain, or `controller`, that is killed."
    )
    down: Name | None = Field(None, description="A switch that is switched off.")
    lost: Annotated[int, whole("number of packets", 0, 1_000_000)] | None = Field(
        None, description="At most so many pings between the hosts of the check are lost, one each 5 ms."
    )
    check: CheckInside | None = Field(
        None,
        description="What holds: a verb with its keys.",
        examples=[{"reachable": {"from": "h1", "to": "h2"}}],
    )
