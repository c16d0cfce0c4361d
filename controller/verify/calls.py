"""Whether what is translated arrives with every choice, and its answer comes back as one to who asked."""

from __future__ import annotations

from collections.abc import Iterator

from controller.verify.arrivals import Delivered
from controller.verify.fates import answer, arrivals, fate, reason, visits
from controller.verify.lab import Lab
from controller.verify.outcomes import Fabric
from controller.verify.packets import Packets, Store, whole
from controller.verify.report import REFUSAL, TRANSLATED, Finding
from controller.verify.safety import witness
from controller.verify.translated import Call, Server
from controller.verify.values import FREE
from topologies.model.kinds import LoadBalancer
from topologies.model.places import Entity
from wire.mac import mac_number


def check_call(
    lab: Lab, fabric: Fabric, call: Call, cut: tuple[str, ...] = (), converged: bool = False
) -> tuple[str | None, list[Finding]]:
    """The property that a call is a case of (None: the model doesn't have it), and what is wrong."""
    expected = call.expected
    if expected.allowed is None:
        return None, []
    some = _wrong(lab, fabric, call) if expected.allowed else _passed(lab, fabric, call)
    findings = [
        finding._replace(witness=witness(known, call.source.at, cut, converged)) for finding, known in some
    ]
    return (TRANSLATED if expected.allowed else REFUSAL), findings


def _passed(lab: Lab, fabric: Fabric, call: Call) -> Iterator[tuple[Finding, Store]]:
    """What gets through although it is not allowed: packets, or their answers, if only these are refused."""
    entity, why = Entity("function", call.by.name), f"not allowed: {call.expected.why}"
    at = {server.host.at: server for server in call.servers}
    for outcome in fabric.outcomes(call.start):
        known = {**call.start.packets.known, **outcome.known}
        for one in arrivals(lab, outcome):
            if call.expected.refused:
                yield Finding(REFUSAL, f"{call.source.name} to {call.to}: it arrives", why, entity), known
            elif one.at in at:
                answering = _answer(call, at[one.at], Packets(dict(one.written), known))
                start = fabric.space.entering(one.at, answering)
                for after in fabric.outcomes(start):
                    if call.source.at in [back.at for back in arrivals(lab, after)]:
                        said = f"{call.source.name} to {call.to}: the answer comes back"
                        yield Finding(REFUSAL, said, why, entity), {**known, **after.known}


def _answer(call: Call, server: Server, got: Packets) -> Packets:
    return answer(call.family, call.protocol, mac_number(server.host.mac), server.answer_to, got)


def _wrong(lab: Lab, fabric: Fabric, call: Call) -> Iterator[tuple[Finding, Store]]:
    what = f"{call.source.name} to {call.to}"
    at = {server.host.at: server for server in call.servers}
    missing = {server.host.name: None for server in call.servers}
    names = " or ".join(missing)
    lost = False
    for outcome in fabric.outcomes(call.start):
        known = {**call.start.packets.known, **outcome.known}
        got = arrivals(lab, outcome)
        server = at.get(got[0].at) if len(got) == 1 and not outcome.loop else None
        if server is None:
            lost = True
            entity = reason(outcome.ends) or Entity("function", call.by.name)
            said = f"{what}: {fate(lab, outcome)}"
            yield Finding(TRANSLATED, said, f"it reaches {names} once", entity), known
            continue
        missing.pop(server.host.name, None)
        packets = Packets(dict(got[0].written), known)
        differs = _as_it_should_arrive(call, server, packets)
        if differs:
            said = f"{what}: at {server.host.name}, {differs}"
            entity = Entity("function", call.by.name)
            yield Finding(TRANSLATED, said, f"{call.by.name} translates it", entity), known
        yield from ((finding, known) for finding in visits(lab, outcome, call.expected.there, what))
        yield from _answered(lab, fabric, call, server, packets)
    if missing and not lost:
        said = f"{what}: no connection gets to {', '.join(missing)}"
        entity = Entity("function", call.by.name)
        yield Finding(TRANSLATED, said, "each backend gets some", entity), dict(call.start.packets.known)


def _answered(
    lab: Lab, fabric: Fabric, call: Call, server: Server, got: Packets
) -> Iterator[tuple[Finding, Store]]:
    """The answer of a server to packets that have arrived there."""
    what = f"{call.source.name} to {call.to}: the answer of {server.host.name}"
    answering = _answer(call, server, got)
    start = fabric.space.entering(server.host.at, answering)
    for outcome in fabric.outcomes(start):
        known = {**answering.known, **outcome.known}
        back = arrivals(lab, outcome)
        if [one.at for one in back] != [call.source.at] or outcome.loop:
            entity = reason(outcome.ends) or Entity("function", call.by.name)
            said = f"{what}: {fate(lab, outcome)}"
            yield Finding(TRANSLATED, said, f"it comes back to {call.source.name} once", entity), known
            continue
        differs = _as_it_should_come_back(call, _at_the_end(answering, back[0], known))
        if differs:
            entity = Entity("function", call.by.name)
            said = f"{what}: {differs}"
            yield Finding(TRANSLATED, said, "it comes from the address that was asked", entity), known
        yield from ((finding, known) for finding in visits(lab, outcome, call.expected.back, what))


def _at_the_end(sent: Packets, delivered: Delivered, known: Store) -> Packets:
    return Packets({**sent.frame, **dict(delivered.written)}, known)


def _as_it_should_arrive(call: Call, server: Server, got: Packets) -> str:
    """What is wrong with a packet that has arrived at a server; empty when it is as it should be."""
    head = "ip" if call.family == 4 else "ipv6"
    wanted = {
        "eth_dst": mac_number(server.host.mac),
        f"{head}_src": server.source,
        f"{head}_dst": server.address,
        "vlan_vid": 0,
    }
    if server.port is not None:
        wanted[f"{call.protocol}_dst"] = server.port
    return _differs(got, wanted)


def _as_it_should_come_back(call: Call, got: Packets) -> str:
    """The same of an answer, back at who asked."""
    head, sent = "ip" if call.family == 4 else "ipv6", call.start.packets.known
    wanted = {
        "eth_dst": mac_number(call.source.mac),
        f"{head}_src": sent[f"{head}_dst"].value,
        f"{head}_dst": sent[f"{head}_src"].value,
        "vlan_vid": 0,
    }
    if isinstance(call.by, LoadBalancer) and call.source.network == call.by.balancer.network:
        wanted["eth_src"] = sent["eth_dst"].value
    name = call.protocol
    ports = [("icmp_id", "icmp_id")]
    if name != "icmp":
        ports = [(f"{name}_src", f"{name}_dst"), (f"{name}_dst", f"{name}_src")]
    return _differs(got, wanted) or next(filter(None, (_other(got, *pair) for pair in ports)), "")


def _differs(got: Packets, wanted: dict[str, int]) -> str:
    for name, value in wanted.items():
        if got.decide(name, value, whole(name)) is not True:
            return f"it has another {name}"
    return ""


def _other(got: Packets, name: str, variable: str) -> str:
    """Whether a field of the answer is not what a field of the request was."""
    if got.value(name) == variable:
        return ""
    known = got.known.get(variable, FREE)
    same = known.mask == whole(name) and got.decide(name, known.value, known.mask) is True
    return "" if same else f"it has another {name}"
