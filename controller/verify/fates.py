"""What became of packets, in words; and the answer to those that have arrived. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.verify.arrivals import Delivered
from controller.verify.lab import Lab
from controller.verify.outcomes import End, Outcome
from controller.verify.packets import Frame, Packets
from controller.verify.report import CHAINS, Finding
from controller.verify.values import Known
from topologies.model.attachment import InlineInstance
from topologies.model.functions import Protocol
from topologies.model.places import Entity
from wire.icmp import ECHO_REPLY, ECHO_REPLY6
from wire.tcp import ACK, SYN

_ANSWER: dict[str, int] = {"icmp": ECHO_REPLY, "icmpv6": ECHO_REPLY6}


def answer(family: int, protocol: Protocol, source: int, destination: int, got: Packets) -> Packets:
    """The answer to packets that arrived, between these MAC addresses: their fields the other way round."""
    head = "ip" if family == 4 else "ipv6"
    frame: Frame = {
        "eth_src": source,
        "eth_dst": destination,
        f"{head}_src": got.value(f"{head}_dst"),
        f"{head}_dst": got.value(f"{head}_src"),
        "nw_ttl": 64,
    }
    if protocol in _ANSWER:
        frame[f"{protocol}_type"] = _ANSWER[protocol]
        if "icmp_id" in got.frame:
            frame["icmp_id"] = got.value("icmp_id")
    else:
        frame[f"{protocol}_src"] = got.value(f"{protocol}_dst")
        frame[f"{protocol}_dst"] = got.value(f"{protocol}_src")
    if protocol == "tcp":
        frame["tcp_flags"] = SYN | ACK
    connections = got.frame.get("connections")
    if connections is not None:
        frame["connections"] = connections
    return Packets(frame, got.known)


def visits(lab: Lab, outcome: Outcome, wanted: tuple[str, ...], what: str) -> Iterator[Finding]:
    """Whether packets passed the functions that they should, in order."""
    functions = lab.functions
    inline = [name for name in wanted if _is_inline(functions[name].instances)]
    visited = [lab.instance_of[port] for port in outcome.visited]
    if visited != inline:
        yield Finding(
            CHAINS, f"{what}: it passes {', '.join(visited) or 'no function'}",
            f"it passes {', '.join(inline) or 'no function'}", _of_first(inline or visited),
        )  # fmt: skip
    copies = {lab.taps[one.at] for one in outcome.delivered if one.at in lab.taps}
    for name in wanted:
        if name in lab.taps.values() and name not in copies:
            yield Finding(CHAINS, f"{what}: no copy for {name}", f"{name} gets a copy", _of_first([name]))


def _of_first(names: list[str]) -> Entity | None:
    return Entity("function", names[0]) if names else None


def _is_inline(instances: Iterable[object]) -> bool:
    return any(isinstance(instance, InlineInstance) for instance in instances)


def arrivals(lab: Lab, outcome: Outcome) -> list[Delivered]:
    """The frames that left the fabric, but for copies for taps."""
    return [one for one in outcome.delivered if one.at not in lab.taps]


def fate(lab: Lab, outcome: Outcome) -> str:
    """What becomes of packets that don't arrive once where they should."""
    got = arrivals(lab, outcome)
    if outcome.loop:
        return "it goes round in a loop"
    if got:
        names = [lab.at[one.at].name if one.at in lab.at else str(one.at) for one in got]
        return f"it reaches {', '.join(names)}"
    if outcome.punted:
        return f"it goes to the controller at {outcome.punted[0]}"
    if not outcome.ends:
        return "it vanishes"
    end = outcome.ends[-1]
    flow = end.way.flows[-1] if end.way.flows else None
    lost = f": {end.way.lost[-1].why}" if end.way.lost else ""
    return f"it ends at {end.switch}" + ("" if flow is None else f", {flow.table.name} ({flow.why})") + lost


def reason(ends: Iterable[End]) -> Entity | None:
    """What of the file the last flows are there for."""
    for end in ends:
        for flow in reversed(end.way.flows):
            if flow.origin.entity is not None:
                return flow.origin.entity
    return None


def in_words(known: Known) -> str:
    """A block of ports."""
    last = known.value | ~known.mask & 0xFFFF
    if known.not_in:
        return "any other port"
    return (
        "any port"
        if not known.mask
        else f"port {last}"
        if known.value == last
        else f"ports {known.value}-{last}"
    )
