"""What connection tracking does to a frame: the meaning of ``Ct``, without any switch.

Tests compare the flows of firewalls, load balancers and translators with this.  It knows a connection's two
directions and its mark, neither time nor sequence numbers.  A frame has these fields beyond those of
OpenFlow: ``icmp_id`` (an echo's identifier), and in an ICMP error those of the packet that it reports:
``inner_src``, ``inner_dst``, ``inner_proto``, ``inner_tp_src``, ``inner_tp_dst``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from controller.compiler.tracking import ESTABLISHED, INVALID, NEW, RELATED, REPLY, TRACKED
from controller.flow.tables import Bucket, Ct, Group
from controller.simulate.fragments import PIPELINE, Reassembly, travelling_fields
from wire.ethertype import IPV4, IPV6
from wire.protocol import ICMP, ICMPV6, TCP, UDP
from wire.tcp import ACK, RST, SYN

SNAT, DNAT = 0x40, 0x80
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}
_ECHO = {ICMP: 8, ICMPV6: 128}
_NAMES = {TCP: "tcp", UDP: "udp"}
"""Protocols whose ports tell connections apart; Open vSwitch 3.1 knows no ports of SCTP, as of all others."""
EPHEMERAL = (1024, 65535)
"""Source ports that Open vSwitch chooses from when it translates no source, and the packet's own port is
taken. (A port below 1024 gets another below 1024.)"""
_HEADS = ("ip_src", "ip_dst", "ipv6_src", "ipv6_dst")
_HEADS_PORTS = tuple(f"{name}_" for name in _NAMES.values())


class Tuple(NamedTuple):
    """One direction of a connection. For an echo, both ports are its identifier."""

    version: int
    source: int
    destination: int
    protocol: int
    tp_src: int
    tp_dst: int

    def reversed(self) -> Tuple:
        return Tuple(self.version, self.destination, self.source, self.protocol, self.tp_dst, self.tp_src)


@dataclass
class Connection:
    """``original``: the tuple of the initiator's packets as they arrive; ``reply``: that of the answers as
    they arrive, which is not the reverse when addresses are translated."""

    zone: int
    original: Tuple
    reply: Tuple
    mark: int = 0


@dataclass
class Connections:
    """All connections of one switch (or, as in Open vSwitch, of all switches of a domain); frames change
    them.

    ``pick``: chooses the port of a masqueraded connection. Open vSwitch chooses by a hash; the default is the
    connection's own port if that is in the range, otherwise the next free one.
    """

    known: dict[tuple[int, Tuple], tuple[Connection, bool]] = field(default_factory=dict)
    pick: Callable[[Tuple], int] | None = None
    reassembly: Reassembly = field(default_factory=Reassembly)

    def through(self, action: Ct, frame: Mapping[str, int]) -> list[dict[str, int]]:
        """The frames that come out of connection tracking when this one goes in: itself; or none, while
        fragments of its datagram are missing; or all fragments of the datagram, this one first."""
        now = cleared(frame)
        parts = self.reassembly.take(action.zone, now)
        if parts is None:
            if "part:of" in now and now.get("ip_frag"):
                return [{**now, "ct_zone": action.zone, "ct_state": TRACKED | INVALID}]
            return [self.track(action, now)]
        if not parts:
            return []
        # tracking looks at the whole packet; the first fragment has all fields that it needs
        whole = self.track(action, {**parts[0], "ip_frag": 0})
        pipeline = {name: value for name, value in now.items() if name.startswith(PIPELINE)}
        fragments = [_of_fragment({**travelling_fields(part), **pipeline}, whole) for part in parts]
        return sorted(fragments, key=lambda fragment: fragment["part:number"] != now["part:number"])

    def find(self, zone: int, which: Tuple) -> tuple[Connection, bool] | None:
        """The connection, and whether the packet is a reply."""
        return self.known.get((zone, which))

    def track(self, action: Ct, frame: Mapping[str, int]) -> dict[str, int]:
        """The frame as it comes out of connection tracking, with the fields ``ct_*``."""
        now = cleared(frame)
        which = tuple_of(now)
        if which is None:
            return {**now, "ct_zone": action.zone, "ct_state": TRACKED | INVALID}
        about = inner_of(now)
        # an error goes in the opposite direction to the packet that it reports
        known = self.find(action.zone, which if about is None else about.reversed())
        if known is None:
            if about is not None or not _may_begin(now, which):
                return {**now, "ct_zone": action.zone, "ct_state": TRACKED | INVALID}
            connection = self._commit(action, which) if action.commit else None
            states, reply = TRACKED | NEW, False
        else:
            connection, reply = known
            states = TRACKED | (ESTABLISHED if about is None else RELATED) | (REPLY if reply else 0)
        original = which if connection is None else connection.original
        if connection is not None:
            if action.commit and action.mark is not None:
                connection.mark = action.mark
            if action.nat is not None and connection.reply != connection.original.reversed():
                now = _translated(now, connection, reply)
        return now | _ct_fields(action.zone, states, connection, original)

    def _commit(self, action: Ct, which: Tuple) -> Connection | None:
        """The new connection; None where its answers would look like those of another one."""
        after = which
        if action.nat == "dst" and action.address is not None:
            port = which.tp_dst if action.port is None else action.port[0]
            after = after._replace(destination=action.address, tp_dst=port)
            after = self._unused(action.zone, after, EPHEMERAL, keep=True)
        elif action.nat == "src" and action.address is None:
            after = self._unused(action.zone, after, EPHEMERAL, keep=True)
        elif action.nat == "src" and action.address is not None:
            after = self._unused(action.zone, after._replace(source=action.address), action.port)
        connection = Connection(action.zone, which, after.reversed())
        if (action.zone, connection.reply) in self.known:
            return None
        self.known[action.zone, which] = connection, False
        self.known[action.zone, connection.reply] = connection, True
        return connection

    def _unused(self, zone: int, after: Tuple, ports: tuple[int, int] | None, keep: bool = False) -> Tuple:
        """The tuple with a source port of the range, so that its answers are no other connection's. ``keep``:
        with its own port if that is free, even outside the range."""
        if ports is None or after.protocol in _ERRORS:
            return after
        if keep and (zone, after.reversed()) not in self.known:
            return after
        if self.pick is not None:
            return after._replace(tp_src=self.pick(after))
        first, last = ports
        port = after.tp_src if first <= after.tp_src <= last else first
        while (zone, after._replace(tp_src=port).reversed()) in self.known:
            port = port + 1 if port < last else first
        return after._replace(tp_src=port)


def cleared(frame: Mapping[str, int]) -> dict[str, int]:
    """The frame without the fields that tracking writes."""
    return {name: value for name, value in frame.items() if not name.startswith("ct_")}


def _of_fragment(frame: dict[str, int], whole: Mapping[str, int]) -> dict[str, int]:
    """A fragment as it comes out of tracking, made from the whole packet: a later fragment has no ports,
    neither its own nor those of the original tuple."""
    later = frame["ip_frag"] & 2
    names = {*_HEADS, *(() if later else (name for name in frame if name.startswith(_HEADS_PORTS)))}
    own = {name: whole[name] for name in names if name in frame}
    tracked = {name: value for name, value in whole.items() if name.startswith("ct_")}
    if later:
        tracked = {name: value for name, value in tracked.items() if not name.startswith("ct_tp_")}
    return {**frame, **own, **tracked}


def choose(group: Group, live: list[Bucket], frame: Mapping[str, int]) -> list[Bucket]:
    """The one bucket that a hash of the group's fields and the bucket's identifier chooses (not Open
    vSwitch's hash); the first bucket of a group without fields."""
    values = [frame.get(name) for name in group.fields]

    def score(bucket: Bucket) -> bytes:
        return blake2b(repr((bucket.id, values)).encode(), digest_size=8).digest()

    return [max(live, key=score)] if live else []


def tuple_of(frame: Mapping[str, int]) -> Tuple | None:
    """The tuple of a packet; None: it is no whole IP packet."""
    version = {IPV4: 4, IPV6: 6}.get(frame.get("eth_type", 0))
    if version is None or "ip_proto" not in frame:
        return None
    head = "ip" if version == 4 else "ipv6"
    protocol = frame["ip_proto"]
    if protocol in _NAMES:
        ports = (frame.get(f"{_NAMES[protocol]}_{side}", 0) for side in ("src", "dst"))
        source, destination = ports
    else:
        source = destination = frame.get("icmp_id", 0) if protocol in _ERRORS else 0
    return Tuple(version, frame[f"{head}_src"], frame[f"{head}_dst"], protocol, source, destination)


def inner_of(frame: Mapping[str, int]) -> Tuple | None:
    """The tuple of the packet that an ICMP error reports; None: it is no error."""
    protocol = frame.get("ip_proto", 0)
    if protocol not in _ERRORS or _kind(frame, protocol) not in _ERRORS[protocol]:
        return None
    names = ("inner_src", "inner_dst", "inner_proto", "inner_tp_src", "inner_tp_dst")
    return Tuple(4 if protocol == ICMP else 6, *(frame.get(name, 0) for name in names))


def _kind(frame: Mapping[str, int], protocol: int) -> int:
    return frame.get("icmp_type" if protocol == ICMP else "icmpv6_type", -1)


def _may_begin(frame: Mapping[str, int], which: Tuple) -> bool:
    """Whether a packet can be the first of a connection (Open vSwitch's tcp_valid_new, icmp4_valid_new)."""
    if which.protocol == TCP:
        flags = frame.get("tcp_flags", SYN)
        return not (flags & SYN and flags & ACK) and bool(flags & (SYN | RST | ACK))
    if which.protocol in _ERRORS:
        # an ICMP message without a type counts as an echo request
        return _kind(frame, which.protocol) in (-1, _ECHO[which.protocol])
    return True


def _translated(frame: dict[str, int], connection: Connection, reply: bool) -> dict[str, int]:
    """The frame with the addresses and ports that its receiver's side knows."""
    after = connection.original.reversed() if reply else connection.reply.reversed()
    about = inner_of(frame)
    if about is None:
        return _with(frame, after)
    # the reported packet went the other way, and the receiver of the error knows it by other addresses
    before = connection.reply if reply else connection.original
    head = "ip" if about.version == 4 else "ipv6"
    source = frame[f"{head}_src"]
    if source == before.source:
        source = after.source
    names = ("inner_src", "inner_dst", "inner_proto", "inner_tp_src", "inner_tp_dst")
    inner = dict(zip(names, after.reversed()[1:], strict=True))
    return {**frame, f"{head}_src": source, f"{head}_dst": after.destination, **inner}


def _with(frame: dict[str, int], which: Tuple) -> dict[str, int]:
    head = "ip" if which.version == 4 else "ipv6"
    now = {**frame, f"{head}_src": which.source, f"{head}_dst": which.destination}
    if which.protocol in _NAMES:
        name = _NAMES[which.protocol]
        now |= {f"{name}_src": which.tp_src, f"{name}_dst": which.tp_dst}
    return now


def _ct_fields(zone: int, states: int, connection: Connection | None, original: Tuple) -> dict[str, int]:
    head = "ct_nw" if original.version == 4 else "ct_ipv6"
    if connection is not None and connection.reply != connection.original.reversed():
        source = connection.reply.destination != connection.original.source
        states |= SNAT if source else DNAT
    return {
        "ct_state": states,
        "ct_zone": zone,
        "ct_mark": 0 if connection is None else connection.mark,
        f"{head}_src": original.source,
        f"{head}_dst": original.destination,
        "ct_nw_proto": original.protocol,
        "ct_tp_src": original.tp_src,
        "ct_tp_dst": original.tp_dst,
    }
