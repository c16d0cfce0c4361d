"""Checks as they are written in a topology file (see ``topologies.syntax.specification``).

An entry has one verb, beside ``name``, ``hint`` and ``within``. ``VERBS`` has the keys of each.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from topologies.syntax.check_entry import CHECKS_FORM as CHECKS_FORM
from topologies.syntax.check_entry import SHORT, AddressFamily, BetweenSpec, Ends, Pattern, Words
from topologies.syntax.check_entry import VERBS as VERBS
from topologies.syntax.check_entry import AnyCheckSpec as AnyCheckSpec
from topologies.syntax.check_entry import CheckSpec as CheckSpec
from topologies.syntax.check_entry import WithProtocol as WithProtocol
from topologies.syntax.check_entry import check_keys as check_keys
from topologies.syntax.checks_of_services import BalancedSpec, DnsSpec, HttpSpec, LatencySpec, RateSpec
from topologies.syntax.checks_of_ways import (
    AlertsSpec,
    AvoidsSpec,
    EncapsulatedSpec,
    FlowSpec,
    PacketSpec,
    SurvivesSpec,
    TraversesSpec,
)
from topologies.syntax.fields import Spec
from topologies.syntax.service_specification import L4Port, choice, whole

_FAMILY = "ipv4 or ipv6 only; each that both have when left out."


class ReachableSpec(WithProtocol):
    """Packets arrive, and answers come back."""


class BlockedSpec(WithProtocol):
    """Something stops packets before they arrive."""

    how: Annotated[str, choice("way to block", "drop", "reset", "icmp")] | None = Field(
        None, description="drop: without an answer; reset: of TCP; icmp: an error message. Any when left out."
    )


class TcpSpec(BetweenSpec):
    """What becomes of TCP connections."""

    port: L4Port | None = Field(None, description="The port that is asked.")
    result: Annotated[str, choice("result", "connects", "refused", "filtered", "timeout")] | None = Field(
        None,
        description="connects (when left out); refused: by the destination itself; filtered: refused by "
        "something on the way; timeout: no answer.",
    )


class IsolatedSpec(Spec):
    """Nothing gets from one side to another. ``[red, blue]`` is short for ``{between: [red, blue]}``."""

    between: Ends | None = Field(
        None, description="Networks, groups or hosts: each is a side.", examples=[["red", "blue"]]
    )
    family: AddressFamily | None = Field(None, description=_FAMILY)


class CommandSpec(Spec):
    """A command in a host."""

    host: Ends | None = Field(None, description="The host; a group or a list: each of them.")
    run: Words | None = Field(
        None,
        description="A line for /bin/sh, or a list: a program and its arguments.",
        examples=["curl -s http://h2/"],
    )
    exit: Annotated[int, whole("exit code", 0, 255)] | None = Field(
        None, description="Its exit code; 0 when left out."
    )
    output: Pattern | None = Field(
        None, description="A regular expression that its output has.", examples=["^web[12]$"]
    )


VERBS.update(
    {
        "reachable": ReachableSpec,
        "blocked": BlockedSpec,
        "tcp": TcpSpec,
        "isolated": IsolatedSpec,
        "command": CommandSpec,
        "http": HttpSpec,
        "dns": DnsSpec,
        "latency": LatencySpec,
        "rate": RateSpec,
        "balanced": BalancedSpec,
        "traverses": TraversesSpec,
        "avoids": AvoidsSpec,
        "encapsulated": EncapsulatedSpec,
        "flow": FlowSpec,
        "alerts": AlertsSpec,
        "packet": PacketSpec,
        "survives": SurvivesSpec,
    }
)
SHORT["isolated"] = "between"
