"""Where an ICMP error goes: where an answer to the packet that it reports would go.

Flows can't match the packet inside an error (RFC 792; RFC 4443, 2.4 c).  So errors that may belong to a chain
with protocol or ports come to the controller.  It looks up the answer to the packet in the same table, and
has the switch do with the error what the flow says.  An error that can't be read is dropped, and so is one
about a packet that its receiver has not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.compiler.chain_order import TO_CONTROLLER
from controller.compiler.entry_matches import ERRORS
from controller.flow.tables import Action, Resubmit, SetField, SwitchTables, Table
from controller.origin import ByChain
from controller.simulate.switch import Frame, Lookup
from wire import ip
from wire.ethertype import IPV4, OF_VERSION
from wire.protocol import EXTENSIONS, ICMP, ICMPV6, NUMBERS

_WITH_PORTS = {NUMBERS[name]: name for name in ("tcp", "udp", "sctp")}


def answer_to(frame: bytes) -> dict[str, int] | None:
    """The answer to the packet that the ICMP error ``frame`` reports, between the same stations, as fields of
    ``controller.flow.tables``. None: it is no whole error about a packet of its receiver."""
    outer = _whole(frame[14:]) if int.from_bytes(frame[12:14], "big") in OF_VERSION.values() else None
    if outer is None:
        return None
    kind, body = OF_VERSION[outer.version], outer.body
    if outer.protocol != (ICMP if kind == IPV4 else ICMPV6) or len(body) < 8 or body[0] not in ERRORS[kind]:
        return None
    inner = _whole(body[8:])
    if inner is None or inner.version != outer.version or inner.source != outer.destination:
        return None
    head = "ip" if kind == IPV4 else "ipv6"
    answer = {
        "eth_dst": int.from_bytes(frame[0:6], "big"),
        "eth_src": int.from_bytes(frame[6:12], "big"),
        "eth_type": kind,
        f"{head}_src": int.from_bytes(inner.destination, "big"),
        f"{head}_dst": int.from_bytes(inner.source, "big"),
        "ip_proto": inner.protocol,
    }
    name = _WITH_PORTS.get(inner.protocol)
    if name is not None:
        if inner.ports is None:
            return None
        answer[f"{name}_dst"], answer[f"{name}_src"] = inner.ports
    return answer


def without_errors(tables: SwitchTables, table: Table) -> Lookup:
    """The lookup for ``onward``: one table of a switch, without the flows that send errors here."""
    kept = tuple(entry for entry in tables.flows if entry.table is table and entry.actions != TO_CONTROLLER)
    return Lookup(replace(tables, flows=kept))


def onward(
    lookup: Lookup, table: Table, in_port: int, registers: Mapping[str, int], frame: bytes
) -> tuple[Action, ...]:
    """The actions for an error that a flow of ``table`` sent here; none: it is dropped.

    ``lookup``: of ``without_errors``. ``registers``: those of the error in ``table``.  When no chain takes
    the answer, a chain of ICMP may take the error.
    """
    answer = answer_to(frame)
    if answer is None:
        return ()
    place = {**registers, "in_port": in_port}
    entry = lookup.find(table, {**answer, **place})
    if entry is None or not isinstance(entry.origin, ByChain):
        entry = lookup.find(table, {**_as_it_is(answer, frame), **place})
    if entry is None or (entry.goto is None and not entry.actions):
        return ()
    as_it_was = tuple(SetField(name, value) for name, value in sorted(registers.items()) if value)
    on = () if entry.goto is None else (Resubmit(entry.goto),)
    return (*as_it_was, *entry.actions, *on)


def _as_it_is(answer: Frame, frame: bytes) -> Frame:
    """The error's own fields; ``answer``: of ``answer_to``."""
    outer = _whole(frame[14:])
    assert outer is not None
    head, name = ("ip", "icmp_type") if outer.version == 4 else ("ipv6", "icmpv6_type")
    own = {name: value for name, value in answer.items() if name.startswith("eth_")}
    addresses = {
        f"{head}_src": int.from_bytes(outer.source, "big"),
        f"{head}_dst": int.from_bytes(outer.destination, "big"),
    }
    return {**own, **addresses, "ip_proto": outer.protocol, name: outer.body[0]}


def _whole(data: bytes) -> ip.Packet | None:
    """A packet, which may be cut after its headers. None: unreadable, or a fragment."""
    packet = ip.read(data)
    return None if packet is None or packet.fragment or packet.protocol in EXTENSIONS else packet
