"""Which rule of a firewall that is a process decides about a frame: no flow table has it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from controller.trace.path import Hop, Trace
from topologies.model.functions import Function
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity, Place, Places, part
from topologies.model.policy import Address, Connection, deciding
from topologies.model.topology import Topology
from wire.protocol import NAMES, TCP
from wire.tcp import ACK, SYN


class Decision(NamedTuple):
    """What a firewall does with the first packet of a connection: the rule, or the default, in ``words``."""

    accepted: bool
    words: str
    place: Place | None


def decided(function: Function, frame: Mapping[str, int], places: Places) -> Decision | None:
    """The decision of a function about a frame; None if it is no firewall, or the frame begins nothing."""
    seen = _connection(frame) if isinstance(function, FirewallFunction) else None
    if seen is None or not isinstance(function, FirewallFunction):
        return None
    rule = deciding(function.firewall, seen)
    if rule is None:
        words = f"default {function.firewall.default} of firewall {function.name}"
        entity = Entity("default", function.name)
        accepted = function.firewall.default == "accept"
    else:
        words = f"rule {rule.name} ({rule.action}) of firewall {function.name}"
        entity = part("rule", function.name, rule.name)
        accepted = rule.action == "accept"
    place = places.of(entity) or places.of(Entity("function", function.name))
    return Decision(accepted, words, place)


class Passed(NamedTuple):
    """A frame goes through an instance of a function, and ``hop`` is where it is to come out."""

    instance: str
    decision: Decision
    hop: Hop


def decisions(topology: Topology, trace: Trace) -> Iterator[Passed]:
    """What the firewalls on a first packet's way do with it, in order."""
    functions = {i.name: function for function in topology.functions for i in function.instances}
    for hop in trace.hops():
        for copy in hop.copies:
            function = functions.get(copy.passage.name) if copy.passage.kind == "function" else None
            if function is None or copy.hop is None:
                continue
            decision = decided(function, copy.frame, topology.places)
            if decision is not None:
                yield Passed(copy.passage.name, decision, copy.hop)


def dropped(instance: str, decision: Decision) -> str:
    """In words that an instance drops or refuses a packet."""
    return f"{instance} stops it: {decision.words}"


def _connection(frame: Mapping[str, int]) -> Connection | None:
    protocol = NAMES.get(frame.get("ip_proto", 0))
    if protocol is None or (protocol == NAMES[TCP] and frame.get("tcp_flags", SYN) & (SYN | ACK) != SYN):
        return None
    ends: list[Address] = []
    for end in ("src", "dst"):
        if f"ip_{end}" in frame:
            ends.append(IPv4Address(frame[f"ip_{end}"]))
        elif f"ipv6_{end}" in frame:
            ends.append(IPv6Address(frame[f"ipv6_{end}"]))
    if len(ends) < 2:
        return None
    ports = (frame.get(f"{protocol}_src"), frame.get(f"{protocol}_dst"))
    return Connection(ends[0], ends[1], protocol, *ports)  # type: ignore[arg-type]
