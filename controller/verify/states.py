"""The states of a lab's packets, and what follows from what: a graph. Pure.

A state is a class of packets at a port by which it enters a switch. Its branches say what the switch sends
then. They depend on the switch's own tables and dead ports alone, so a failure elsewhere changes nothing of
them: this is how VeriFlow (Khurshid et al., NSDI 2013) checks a change by the classes that it touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple

from controller.flow.tables import CONTROLLER, Table
from controller.simulate.fragments import PIPELINE
from controller.simulate.wiring import Wiring
from controller.verify.arrivals import Outlets
from controller.verify.lookup import SwitchIndex
from controller.verify.packets import Frame, Packets, Patched, Store, is_zero, whole
from controller.verify.reads import PlainReads, Reads
from controller.verify.switch import Switch, Way
from controller.verify.tracking import Connection
from controller.verify.values import FREE, Known
from topologies.model.overlay import Tunnel
from topologies.model.topology import Port, Topology
from wire.ethertype import NSH
from wire.mac import mac_number

ANY: Store = {
    # the bit for later fragments comes with the one for fragments; a VID comes with the bit that says so
    "ip_frag": Known(0, 0, ((3, frozenset((2,))),)),
    "vlan_vid": Known(0, 0, tuple((1 << 12 | 1 << bit, frozenset((1 << bit,))) for bit in range(12))),
}
"""Every frame."""


_NOT_NSH = Known(0, 0, ((0xFFFF, frozenset((NSH,))),))


class State:
    """Packets that entered a switch at ``at`` and are in ``table`` now; two states of equal packets are the
    same object. ``whole``: they come from outside the fabric, and all of their fields count. ``branches``: of
    the lab as it should be, once somebody has asked."""

    __slots__ = ("at", "branches", "packets", "table", "whole")

    def __init__(self, at: Port, packets: Packets, table: Table, whole: bool = False) -> None:
        self.at, self.packets, self.table, self.whole = at, packets, table, whole
        self.branches: tuple[Branch, ...] | None = None


class Send(NamedTuple):
    """What a switch sends by ``port`` (0: by none, it goes on to table FORWARD). ``state``: what it is at the
    other end; None: it leaves the fabric.
    ``frame``: its fields there, in the variables of the state that it is sent from. ``names``: the same for
    the variables of ``state``; None: they have the same names."""

    port: Port
    frame: Frame
    state: State | None = None
    names: Mapping[str, object] | None = None
    through: bool = False
    tunnel: bool = False


class Branch(NamedTuple):
    """One way of a state's packets through the switch. ``known``: of those that take it."""

    known: Store
    sends: tuple[Send, ...]
    way: Way


class Space:
    """All states of a lab. ``tables``: of all switches as they should be; ``branches`` takes others, too."""

    def __init__(self, topology: Topology, tables: Mapping[str, SwitchIndex]) -> None:
        self.wiring = Wiring(topology)
        self.topology = topology
        self.outlets = Outlets()
        self._states: dict[object, State] = {}
        self._ports: dict[tuple[str, int], Port] = {}
        inner: dict[str, set[int]] = {}
        for port in (*self.wiring.far, *self.wiring.tunnels):
            if port not in self.wiring.instance:
                inner.setdefault(port.switch, set()).add(port.number)
        self._inner = {name: frozenset(ports) for name, ports in inner.items()}
        self.reads = self.reads_of(tables)

    def reads_of(self, tables: Mapping[str, SwitchIndex]) -> PlainReads:
        """What would matter with these tables; states can be kept while this stays the same."""
        return PlainReads(tables, self._inner)

    def port(self, switch: str, number: int) -> Port:
        """The port, always as the same object."""
        port = self._ports.get((switch, number))
        if port is None:
            port = self._ports[switch, number] = Port(switch=switch, number=number)
        return port

    def entering(self, at: Port, packets: Packets) -> State:
        """The state of packets from outside, all of whose fields count."""
        return self.state(at, packets.with_field("in_port", at.number), whole=True)

    def from_port(self, at: Port) -> State:
        """The state of all frames whatever from a host's port."""
        return self.entering(at, Packets({}, ANY))

    def state(self, at: Port, packets: Packets, table: Table = Table.CLASSIFY, whole: bool = False) -> State:
        """The state of these packets."""
        known = tuple(sorted(packets.known.items(), key=_first))
        key = (at.switch, at.number, table, whole, tuple(sorted(packets.frame.items(), key=_first)), known)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = State(self.port(at.switch, at.number), packets, table, whole)
        return state

    def toward(self, state: State, mac: int) -> State | None:
        """The state in table FORWARD of those packets of such a state that go to a MAC address; None: there
        are none, or all of their fields may matter."""
        reads = self.reads.of(mac)
        some = state.packets.where("eth_dst", mac, whole("eth_dst"))
        if some is None or reads is None or not self._is_plain(some):
            return None
        projected, _ = _projected(some, reads, {"in_port": some.frame["in_port"]})
        return self.state(state.at, projected, state.table)

    def branches(self, state: State, switch: Switch) -> tuple[Branch, ...]:
        """What the switch, as it is now, sends of a state's packets."""
        ways = switch.ways(state.packets, state.table, Table.FORWARD if state.whole else None)
        return tuple([branch for way in ways for branch in self._branch(state.at, way)])

    def _branch(self, at: Port, way: Way) -> Iterator[Branch]:
        sends: list[tuple[Packets, tuple[Send, ...]]] = [(way.packets, ())]
        # a switch may send a packet before it remembers the connection; an answer comes after both
        connections = _connections(way)
        for number, frame in way.sent:
            if connections:
                frame = {**frame, "connections": connections}  # type: ignore[dict-item]
            port = self.port(at.switch, number)
            sends = [
                (part, (*sent, *more))
                for packets, sent in sends
                for part, more in self._beyond(port, Packets(frame, packets.known))
            ]
        for packets, sent in sends:
            if way.onward:
                sent = (*sent, self._onward(at, Packets(way.packets.frame, packets.known)))
            yield Branch(packets.known, sent, way)

    def _onward(self, at: Port, packets: Packets) -> Send:
        """The state in table FORWARD of the same switch."""
        reads = self.reads.of(packets.bits("eth_dst", whole("eth_dst")))
        if reads is None or not self._is_plain(packets):
            return Send(self.port(at.switch, 0), packets.frame, self.state(at, packets, Table.FORWARD))
        projected, names = _projected(packets, reads, {"in_port": packets.frame["in_port"]})
        return Send(self.port(at.switch, 0), packets.frame, self.state(at, projected, Table.FORWARD), names)

    def _beyond(self, port: Port, packets: Packets) -> Iterator[tuple[Packets, tuple[Send, ...]]]:
        if port.number == CONTROLLER:
            yield packets, (Send(port, packets.frame),)
            return
        far = self.wiring.far.get(port)
        if far is not None:
            yield packets, (self._arriving(port, far, packets, port in self.wiring.instance),)
            return
        tunnels = self.wiring.tunnels.get(port)
        if tunnels is None:
            yield packets, (Send(port, packets.frame),)
        elif self.wiring.tunnels_by_flow:
            address, vni = packets.value("tun_dst"), packets.value("tun_id")
            assert isinstance(address, int) and isinstance(vni, int)
            switch = self.wiring.vteps.get(IPv4Address(address))
            if switch is None:
                yield packets, (Send(port, packets.frame, tunnel=True),)
                return
            far = self.port(switch, port.number)
            yield packets, (self._arriving(port, far, packets, tun_id=vni),)
        else:
            yield from self._through_device(port, tunnels[0], packets)

    def _through_device(
        self, port: Port, tunnel: Tunnel, packets: Packets
    ) -> Iterator[tuple[Packets, tuple[Send, ...]]]:
        """A vxlan device: to the VTEP in its forwarding database, else to the default destinations."""
        every = whole("eth_dst")
        numbers = {mac_number(mac): vtep for mac, vtep in tunnel.unicast.items()}
        for mac, vtep in numbers.items():
            if packets.decide("eth_dst", mac, every) is not False:
                part = packets.where("eth_dst", mac, every)
                if part is not None:
                    far = self.port(self.wiring.vteps[vtep], port.number)
                    yield part, (self._arriving(port, far, part),)
        rest = packets.where_not("eth_dst", numbers, every)
        if rest is not None:
            vteps = (self.wiring.vteps[vtep] for vtep in tunnel.flood)
            yield (
                rest,
                tuple([self._arriving(port, self.port(name, port.number), rest) for name in vteps]),
            )

    def _arriving(
        self, port: Port, far: Port, packets: Packets, through: bool = False, tun_id: int = 0
    ) -> Send:
        frame: Frame = {name: value for name, value in packets.frame.items() if not name.startswith(PIPELINE)}
        if tun_id:
            frame["tun_id"] = tun_id
        travelling = Packets(frame, packets.known)
        reads, tag = None, self._tag_of_a_tree(travelling)
        if not through and (tag or self._is_plain(travelling)):
            reads = self.reads.of(travelling.bits("eth_dst", whole("eth_dst")))
        if reads is None:
            frame["in_port"] = far.number
            return Send(port, frame, self.state(far, travelling), None, through)
        projected, names = _projected(travelling, reads, {"in_port": far.number}, tag)
        return Send(port, frame, self.state(far, projected), names)

    def _is_plain(self, packets: Packets) -> bool:
        """Whether the packets have no tag that matters."""
        if self.reads.tags:
            return _is_plain(packets)
        return not self.reads.trees or packets.bits("vlan_vid", 0x1000) == 0

    def _tag_of_a_tree(self, packets: Packets) -> Frame:
        """The tag of packets that follow a broadcast's tree; none where tags of chains matter, too."""
        if self.reads.tags or packets.bits("vlan_vid", 0x1000) != 0x1000:
            return {}
        tag = {name: packets.bits(name, whole(name)) for name in ("vlan_vid", "vlan_pcp")}
        return {name: bits for name, bits in tag.items() if bits is not None} if tag["vlan_pcp"] else {}


def _projected(
    packets: Packets, reads: Reads, seen: Frame, tag: Frame | None = None
) -> tuple[Packets, Mapping[str, object]]:
    """The packets with only the fields that matter, each as a variable of its own; what these are. ``tag``:
    the tag that they have, and keep."""
    known: Store = {}
    names: dict[str, object] = {}
    for name, mask in reads.items():
        if name == "in_port" or (is_zero(name) and name not in packets.frame):
            continue
        bits = packets.bits(name, mask)
        if bits is not None and mask == whole(name):
            seen[name] = bits
            continue
        names[name] = packets.value(name)
        of_it = _known_of(packets, name, mask)
        if of_it != FREE:
            known[name] = of_it
    seen |= tag or {"vlan_vid": 0}
    if "eth_type" not in seen and "eth_type" not in names:
        names["eth_type"] = packets.value("eth_type")
        known["eth_type"] = _NOT_NSH
    return Packets(seen, known), names


def _connections(way: Way) -> tuple[Connection, ...]:
    """All that the switch remembers of a way when it is done."""
    frames = (*(frame for _, frame in way.sent), way.packets.frame)
    known = {}
    for frame in frames:
        for connection in frame.get("connections", ()):  # type: ignore[union-attr]
            known[connection.zone, connection.original] = connection  # type: ignore[union-attr]
    return tuple(known.values())  # type: ignore[arg-type]


def _first(item: tuple[str, object]) -> str:
    return item[0]


def _is_plain(packets: Packets) -> bool:
    return packets.bits("vlan_vid", 0x1000) == 0 and packets.decide("eth_type", NSH, 0xFFFF) is False


def _known_of(packets: Packets, name: str, mask: int) -> Known:
    """What is known of a field's bits, as of a variable of its own."""
    expression = packets.value(name)
    value = patch = 0
    if isinstance(expression, int):
        return Known(expression & mask, mask)
    if isinstance(expression, Patched):
        variable, value, patch = expression
    else:
        assert isinstance(expression, str)
        variable = expression
    known = packets.known.get(variable, FREE)
    not_in = tuple((m, values) for m, values in known.not_in if not m & patch and not m & ~mask)
    return Known((known.value & ~patch | value) & mask, (known.mask | patch) & mask, not_in)
