"""What a learning switch does with one switch's messages. Pure: octets in, octets out."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from controller.learning_switch import messages
from controller.learning_switch.messages import Arrived, Learned, Port

_OWN = b"\x01\x80\xc2\x00\x00"
"""The beginning of the addresses that no bridge forwards (IEEE 802.1D, 7.12.6), if a digit 0 follows."""
_MOST = 65_000
"""The most addresses that are remembered for each switch."""


class Session:
    """The connection of one switch. ``blocked`` has the names of ports outside of the spanning tree."""

    def __init__(self, blocked: Collection[str] = ()) -> None:
        self.version = 0
        self.dpid: int | None = None
        self.noted = False
        """Whether others have been told that it is served."""
        self.blocked = blocked
        self.ports: dict[int, Port] = {}
        self.lost: set[str] = set()
        """The names of ports that went down, or away. One that is not up yet is none of them."""
        self.places: dict[bytes, int] = {}
        self._buffer = b""
        self._flows: set[Learned] = set()

    def greeting(self) -> bytes:
        """What is sent first."""
        return messages.hello()

    def receive(self, data: bytes) -> bytes:
        """The answer to octets from the switch. Raises ValueError when it speaks no version of ours."""
        self._buffer += data
        return b"".join(part for raw in self._whole() for part in self._answer(raw))

    def block(self, names: Collection[str]) -> bytes:
        """Use another spanning tree: what was learned by the old one is forgotten."""
        if set(names) == set(self.blocked):
            return b""
        self.blocked = names
        return self._forget()

    def _whole(self) -> Iterator[bytes]:
        while len(self._buffer) >= messages.HEADER:
            length = int.from_bytes(self._buffer[2:4], "big")
            if length < messages.HEADER:
                raise ValueError("a message is shorter than its header")
            if len(self._buffer) < length:
                return
            raw, self._buffer = self._buffer[:length], self._buffer[length:]
            yield raw

    def _answer(self, raw: bytes) -> list[bytes]:
        kind = raw[1]
        if kind == messages.HELLO:
            self.version = messages.agreed(raw)
            if not self.version:
                raise ValueError("the switch speaks none of OpenFlow 1.0, 1.2, 1.3, 1.4, 1.5")
            return messages.questions(self.version)
        if kind == messages.ECHO_REQUEST:
            xid = struct.unpack_from("!I", raw, 4)[0]
            return [messages.message(raw[0], messages.ECHO_REPLY, raw[messages.HEADER :], xid)]
        if kind == messages.PORT_STATUS:
            return self._port_changed(*messages.changed_port(self.version, raw))
        if kind == messages.FLOW_REMOVED and self.version > messages.V10:
            return [messages.all_else(self.version)] if messages.ended_priority(raw) == 0 else []
        if kind == messages.PACKET_IN:
            came = messages.arrived(self.version, raw)
            return self._frame(came) if came is not None and len(came.frame) >= 14 else []
        if kind == messages.FEATURES_REPLY:
            self.dpid = int.from_bytes(raw[8:16], "big")
        ports = messages.ports(self.version, kind, raw) if self.version else None
        if ports is not None:
            self.ports |= {port.number: port for port in ports}
        return []

    def _port_changed(self, port: Port, gone: bool) -> list[bytes]:
        before = self.ports.get(port.number)
        if gone:
            self.ports.pop(port.number, None)
        else:
            self.ports[port.number] = port
        if before is not None and before.up and (gone or not port.up):
            self.lost.add(port.name)
            return [self._forget()]
        if port.up:
            self.lost.discard(port.name)
        return []

    def _frame(self, came: Arrived) -> list[bytes]:
        destination, source = came.frame[:6], came.frame[6:12]
        if destination[:5] == _OWN and destination[5] < 16:
            return []
        near = self.ports.get(came.port)
        if near is not None and near.name in self.blocked:
            return []
        moved = self._moved(source) if self.places.get(source, came.port) != came.port else []
        if not source[0] & 1 and (source in self.places or len(self.places) < _MOST):
            self.places[source] = came.port
        return [*moved, *self._forwarded(came, destination, source)]

    def _moved(self, address: bytes) -> list[bytes]:
        """Delete the flows to where an address was before."""
        old = {match for match in self._flows if match.destination == address}
        self._flows -= old
        return [messages.flow(self.version, match, [], messages.DELETE) for match in sorted(old)]

    def _forwarded(self, came: Arrived, destination: bytes, source: bytes) -> list[bytes]:
        out = self.places.get(destination)
        if destination[0] & 1 or out is None:
            flooded = self._flooding(came.port)
            return [messages.packet_out(self.version, came, flooded)] if flooded else []
        if out == came.port:
            return []
        match = Learned(came.port, source, destination)
        self._flows.add(match)
        return [
            messages.flow(self.version, match, [out]),
            messages.packet_out(self.version, came, [out]),
        ]

    def _flooding(self, origin: int) -> list[int]:
        largest = 0xFF00 if self.version == messages.V10 else 0xFFFFFF00
        return [
            port.number
            for port in self.ports.values()
            if port.number != origin
            and port.number <= largest
            and port.name not in self.lost
            and port.name not in self.blocked
        ]

    def _forget(self) -> bytes:
        flows, self._flows = self._flows, set()
        self.places.clear()
        return b"".join(messages.flow(self.version, match, [], messages.DELETE) for match in sorted(flows))
