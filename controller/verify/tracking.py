"""Connection tracking of a class of packets: the meaning of ``Ct``, as in ``controller.simulate.tracking``.

The class begins without connections: its packets are the first of theirs. What a switch commits on their
way is remembered with them (``connections`` in their frame), in terms of variables. So an answer, whose
fields are the same variables, finds it. Packets of connections that somebody else began are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.compiler.tracking import ESTABLISHED, INVALID, NEW, REPLY, TRACKED
from controller.flow.port_ranges import masked
from controller.flow.tables import Ct
from controller.simulate.tracking import DNAT, SNAT
from controller.verify.packets import Expression, Frame, Packets, whole
from controller.verify.values import FREE, without
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6, TCP, UDP
from wire.tcp import ACK, RST, SYN

_NAMES = {TCP: "tcp", UDP: "udp"}
_TYPE = {ICMP: "icmp_type", ICMPV6: "icmpv6_type"}
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}


class Tuple(NamedTuple):
    """One direction of a connection; for an echo, both ports are its identifier."""

    version: int
    source: Expression
    destination: Expression
    protocol: int
    tp_src: Expression
    tp_dst: Expression

    def reversed(self) -> Tuple:
        return Tuple(self.version, self.destination, self.source, self.protocol, self.tp_dst, self.tp_src)


class Connection(NamedTuple):
    """``original`` and ``reply``: as in ``controller.simulate.tracking.Connection``."""

    zone: int
    original: Tuple
    reply: Tuple
    mark: int


def connections_of(packets: Packets) -> tuple[Connection, ...]:
    """The connections that the class has begun."""
    return packets.frame.get("connections", ())  # type: ignore[return-value]


def track(action: Ct, packets: Packets) -> Iterator[tuple[Packets, Packets | None]]:
    """The parts of a class, each as it goes into tracking and as it comes out; None: tracking keeps it, since
    it is a fragment."""
    for part, which, begins in _tuples(packets):
        if which is None and begins:
            yield part, None
            continue
        yield part, _tracked(action, part, which, begins)


def _tracked(action: Ct, packets: Packets, which: Tuple | None, begins: bool) -> Packets:
    frame: Frame = {name: value for name, value in packets.frame.items() if not name.startswith("ct_")}
    if which is None:
        return _result(action, packets, {**frame, "ct_zone": action.zone, "ct_state": TRACKED | INVALID})
    connections = connections_of(packets)
    which = _resolved(packets, which)
    for place, connection in enumerate(connections):
        if connection.zone == action.zone and which in (connection.original, connection.reply):
            reply = which == connection.reply and which != connection.original
            states = TRACKED | ESTABLISHED | (REPLY if reply else 0)
            if action.commit and action.mark is not None:
                connection = connection._replace(mark=action.mark)
                connections = (*connections[:place], connection, *connections[place + 1 :])
            break
    else:
        if not begins:
            return _result(action, packets, {**frame, "ct_zone": action.zone, "ct_state": TRACKED | INVALID})
        states, reply = TRACKED | NEW, False
        connection = None
        if action.commit:
            packets, connection = _committed(action, packets, which)
            connections = (*connections, connection)
    if connections:
        frame["connections"] = connections  # type: ignore[assignment]
    original = which if connection is None else connection.original
    if connection is not None and connection.reply != connection.original.reversed():
        if action.nat is not None:
            frame = _with(frame, connection.original.reversed() if reply else connection.reply.reversed())
        translated_source = connection.reply.destination != connection.original.source
        states |= SNAT if translated_source else DNAT
    head = "ct_nw" if original.version == 4 else "ct_ipv6"
    fields: Frame = {
        "ct_state": states,
        "ct_zone": action.zone,
        "ct_mark": 0 if connection is None else connection.mark,
        f"{head}_src": original.source,
        f"{head}_dst": original.destination,
        "ct_nw_proto": original.protocol,
        "ct_tp_src": original.tp_src,
        "ct_tp_dst": original.tp_dst,
    }
    return _result(action, packets, {**frame, **fields})


def _result(action: Ct, packets: Packets, frame: Frame) -> Packets:
    """Without a table, the fields ``ct_*`` stay as they were before."""
    if action.table is None:
        frame = {name: value for name, value in frame.items() if not name.startswith("ct_")}
        frame |= {name: value for name, value in packets.frame.items() if name.startswith("ct_")}
    return Packets(frame, packets.known)


def _committed(action: Ct, packets: Packets, which: Tuple) -> tuple[Packets, Connection]:
    after = which
    if action.nat == "dst" and action.address is not None:
        port = which.tp_dst if action.port is None else action.port[0]
        after = after._replace(destination=action.address, tp_dst=port)
    elif action.nat == "src" and action.address is not None:
        after = after._replace(source=action.address)
        if action.port is not None and which.protocol in _NAMES:
            packets, variable = _port_between(packets, action.zone, *action.port)
            after = after._replace(tp_src=variable)
    return packets, Connection(action.zone, which, after.reversed(), action.mark or 0)


def _port_between(packets: Packets, zone: int, first: int, last: int) -> tuple[Packets, str]:
    """A variable for the port that the switch chooses, by a hash that nobody foresees."""
    variable = f"port:zone {zone}"
    known = packets.known.get(variable, FREE)
    outside = [*masked(0, first - 1), *masked(last + 1, 0xFFFF)] if variable not in packets.known else []
    for value, mask in outside:
        fewer = without(known, frozenset((value,)), 0xFFFF if mask is None else mask, 16)
        assert fewer is not None
        known = fewer
    return packets.knowing(variable, known), variable


def _with(frame: Frame, which: Tuple) -> Frame:
    head = "ip" if which.version == 4 else "ipv6"
    now: Frame = {**frame, f"{head}_src": which.source, f"{head}_dst": which.destination}
    if which.protocol in _NAMES:
        name = _NAMES[which.protocol]
        now |= {f"{name}_src": which.tp_src, f"{name}_dst": which.tp_dst}
    return now


def _resolved(packets: Packets, which: Tuple) -> Tuple:
    """The tuple with numbers for variables of which all is known, so that equal ones are the same."""

    def number(expression: Expression, mask: int) -> Expression:
        if isinstance(expression, str):
            known = packets.known.get(expression)
            if known is not None and not mask & ~known.mask:
                return known.value & mask
        return expression

    address = (1 << (32 if which.version == 4 else 128)) - 1
    return Tuple(
        which.version,
        number(which.source, address),
        number(which.destination, address),
        which.protocol,
        number(which.tp_src, 0xFFFF),
        number(which.tp_dst, 0xFFFF),
    )


def _tuples(packets: Packets) -> Iterator[tuple[Packets, Tuple | None, bool]]:
    """The parts of a class with their tuple, and whether they can begin a connection. No tuple: they are not
    tracked; or they are fragments, if the third says yes."""
    for kind, rest in _each(packets, "eth_type", (IPV4, IPV6)):
        if kind is None:
            yield rest, None, False
            continue
        fragments = rest.where("ip_frag", 1, 1)
        if fragments is not None:
            yield fragments, None, True
        unfragmented = rest.where("ip_frag", 0, 1)
        if unfragmented is None:
            continue
        version, head = (4, "ip") if kind == IPV4 else (6, "ipv6")
        control = ICMP if version == 4 else ICMPV6
        for protocol, part in _each(unfragmented, "ip_proto", (control, TCP, UDP)):
            source, destination = part.value(f"{head}_src"), part.value(f"{head}_dst")
            if protocol is None:
                known = part.bits("ip_proto", whole("ip_proto"))
                yield part, Tuple(version, source, destination, -1 if known is None else known, 0, 0), True
            elif protocol == control:
                yield from _control(part, Tuple(version, source, destination, protocol, 0, 0))
            else:
                name = _NAMES[protocol]
                ports = part.value(f"{name}_src"), part.value(f"{name}_dst")
                which = Tuple(version, source, destination, protocol, *ports)
                if protocol != TCP:
                    yield part, which, True
                    continue
                for flags, some in _each(part, "tcp_flags", range(8), _flag_bits):
                    first = flags is not None and not (flags & SYN and flags & ACK)
                    yield some, which, bool(first and flags)


def _flag_bits(number: int) -> int:
    """The ``number``-th combination of SYN, RST and ACK."""
    return (SYN if number & 1 else 0) | (RST if number & 2 else 0) | (ACK if number & 4 else 0)


def _control(packets: Packets, which: Tuple) -> Iterator[tuple[Packets, Tuple | None, bool]]:
    """ICMP: an echo has an identifier; an error is about a packet that the class does not have."""
    echo, reply = _ECHO[which.protocol]
    for kind, part in _each(packets, _TYPE[which.protocol], (echo, reply, *_ERRORS[which.protocol])):
        if kind in (echo, reply):
            identifier = part.value("icmp_id")
            yield part, which._replace(tp_src=identifier, tp_dst=identifier), kind == echo
        else:
            yield part, None if kind is not None else which, False


def _each(
    packets: Packets, name: str, values: tuple[int, ...] | range, of: object = None
) -> Iterator[tuple[int | None, Packets]]:
    """The parts of a class in which a field is each of some values; and the rest, with None."""
    if of is not None:
        mask = SYN | RST | ACK
        for number in values:
            bits = _flag_bits(number)
            some = packets.where(name, bits, mask)
            if some is not None:
                yield bits, some
        return
    mask = whole(name)
    fixed = packets.bits(name, mask)
    if fixed is not None:
        yield (fixed if fixed in values else None), packets
        return
    for value in values:
        some = packets.where(name, value, mask)
        if some is not None:
            yield value, some
    rest = packets.where_not(name, values, mask)
    if rest is not None:
        yield None, rest
