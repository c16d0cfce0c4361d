"""The few OpenFlow messages of a learning switch, in versions 1.0 and 1.2 to 1.5. Pure.

Fields and numbers: OpenFlow Switch Specification 1.0.0, section 5; 1.3.5 and 1.5.1, section 7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

V10, V12, V13, V14, V15 = 1, 3, 4, 5, 6
VERSIONS = (V10, V12, V13, V14, V15)
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
SET_CONFIG, PACKET_IN, FLOW_REMOVED, PORT_STATUS, PACKET_OUT, FLOW_MOD = 9, 10, 11, 12, 13, 14
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19
HEADER = 8
PORT_DESC = 13
ADD, DELETE = 0, 3
CONTROLLER, ANY, NO_BUFFER = 0xFFFFFFFD, 0xFFFFFFFF, 0xFFFFFFFF
IDLE_SECONDS = 60
"""After so many seconds without a packet, a flow ends (as with ovs-testcontroller)."""
PRIORITY = 100


class Port(NamedTuple):
    """A port of a switch: its number, its device's name, and whether it can carry frames."""

    number: int
    name: str
    up: bool


class Arrived(NamedTuple):
    """A frame that a switch has sent to its controller."""

    port: int
    frame: bytes


class Learned(NamedTuple):
    """What decides over a known frame: the port that it came from, and its addresses."""

    port: int
    source: bytes
    destination: bytes


def message(version: int, kind: int, body: bytes = b"", xid: int = 1) -> bytes:
    """A message with its header."""
    return struct.pack("!BBHI", version, kind, HEADER + len(body), xid) + body


def hello() -> bytes:
    """The hello that offers all versions: a bitmap (1.3.5, 7.5.1)."""
    bitmap = sum(1 << version for version in VERSIONS)
    return message(max(VERSIONS), HELLO, struct.pack("!HHI", 1, 8, bitmap))


def agreed(raw: bytes) -> int:
    """The version for a switch whose hello this is; 0: there is none in common.

    1.0 is preferred: there, frames that match no flow come to the controller even when a script has deleted
    all flows.
    """
    offered = {raw[0]}
    if len(raw) >= HEADER + 8 and raw[HEADER : HEADER + 2] == b"\0\1":
        bits = int.from_bytes(raw[HEADER + 4 : HEADER + 8], "big")
        offered = {number for number in range(32) if bits >> number & 1}
    elif raw[0] > max(VERSIONS):
        offered = set(VERSIONS)
    common = offered & set(VERSIONS)
    return V10 if V10 in common else max(common, default=0)


def questions(version: int) -> list[bytes]:
    """What a switch is told and asked at first: whole frames, please; and which ports are there?"""
    first = [message(version, SET_CONFIG, struct.pack("!HH", 0, 0xFFFF)), message(version, FEATURES_REQUEST)]
    if version >= V13:
        which = struct.pack("!Ixxxx", ANY) if version >= V15 else b""
        first.append(message(version, MULTIPART_REQUEST, struct.pack("!HHI", PORT_DESC, 0, 0) + which))
    if version >= V12:
        first.append(all_else(version))
    return first


def all_else(version: int) -> bytes:
    """The flow that sends us the frames that no other flow matches; its end is told."""
    return flow(version, None, [CONTROLLER], flags=1)


def ended_priority(raw: bytes) -> int:
    """The priority of the flow of a flow removed message of OpenFlow 1.2 or newer."""
    return int.from_bytes(raw[16:18], "big")


def ports(version: int, kind: int, raw: bytes) -> list[Port] | None:
    """The ports in an answer to ``questions``; None when it tells of none."""
    if kind == FEATURES_REPLY and version < V13:
        return _ports(version, raw[32:])
    if kind == MULTIPART_REPLY and raw[HEADER : HEADER + 2] == struct.pack("!H", PORT_DESC):
        return _ports(version, raw[HEADER + 8 :])
    return None


def changed_port(version: int, raw: bytes) -> tuple[Port, bool]:
    """The port of a port status message, and whether it is gone."""
    return _ports(version, raw[HEADER + 8 :])[0], raw[HEADER] == 1


def _ports(version: int, raw: bytes) -> list[Port]:
    described: list[Port] = []
    size = 48 if version == V10 else 64
    while len(raw) >= 40:
        if version == V10:
            (number,), name, (config, state) = (
                struct.unpack_from("!H", raw),
                raw[8:24],
                struct.unpack_from("!II", raw, 24),
            )
        else:
            (number, length), name, (config, state) = (
                struct.unpack_from("!IH", raw),
                raw[16:32],
                struct.unpack_from("!II", raw, 32),
            )
            size = max(40, length) if version >= V14 else 64
        text = name.split(b"\0")[0].decode(errors="replace")
        described.append(Port(number, text, not (config & 1 or state & 1)))
        raw = raw[size:]
    return described


def arrived(version: int, raw: bytes) -> Arrived | None:
    """The frame of a packet-in message; None when it doesn't say where it came from."""
    if version == V10:
        return Arrived(int.from_bytes(raw[14:16], "big"), raw[18:])
    start = 16 if version == V12 else 24
    (length,) = struct.unpack_from("!H", raw, start + 2)
    fields, end = raw[start + 4 : start + length], start + (length + 7) // 8 * 8
    while len(fields) >= 4:
        (head,) = struct.unpack_from("!I", fields)
        if head == 0x80000004:
            return Arrived(int.from_bytes(fields[4:8], "big"), raw[end + 2 :])
        fields = fields[4 + (head & 0xFF) :]
    return None


def flow(
    version: int, match: Learned | None, outputs: Sequence[int], command: int = ADD, flags: int = 0
) -> bytes:
    """A flow: frames that ``match`` (None: all that no other flow matches) go to ``outputs``."""
    idle, priority = (IDLE_SECONDS, PRIORITY) if match else (0, 0)
    actions = _actions(version, outputs)
    if version == V10:
        body = _match10(match)
        body += struct.pack("!QHHHHIHH", 0, command, idle, 0, priority, NO_BUFFER, ANY & 0xFFFF, flags)
        return message(version, FLOW_MOD, body + actions)
    body = struct.pack(
        "!QQBBHHHIIIHxx", 0, 0, 0, command, idle, 0, priority, NO_BUFFER, ANY, ANY, flags
    ) + _match(_fields(match))
    if command == ADD:
        body += struct.pack("!HHxxxx", 4, 8 + len(actions)) + actions  # apply actions
    return message(version, FLOW_MOD, body)


def packet_out(version: int, came: Arrived, outputs: Sequence[int]) -> bytes:
    """Send a frame out of ports."""
    actions = _actions(version, outputs)
    if version == V10:
        head = struct.pack("!IHH", NO_BUFFER, came.port, len(actions))
    elif version < V15:
        head = struct.pack("!IIHxxxxxx", NO_BUFFER, came.port, len(actions))
    else:
        head = struct.pack("!IHxx", NO_BUFFER, len(actions)) + _match(
            struct.pack("!II", 0x80000004, came.port)
        )
    return message(version, PACKET_OUT, head + actions + came.frame)


def _actions(version: int, outputs: Iterable[int]) -> bytes:
    if version == V10:
        return b"".join(struct.pack("!HHHH", 0, 8, port & 0xFFFF, 0xFFFF) for port in outputs)
    return b"".join(struct.pack("!HHIHxxxxxx", 0, 16, port, 0xFFFF) for port in outputs)


def _match10(match: Learned | None) -> bytes:
    all_fields = (1 << 22) - 1
    if match is None:
        return struct.pack("!I36x", all_fields)
    wildcards = all_fields & ~(1 | 1 << 2 | 1 << 3)  # in_port, dl_src and dl_dst count
    return struct.pack("!IH6s6s22x", wildcards, *match)


def _fields(match: Learned | None) -> bytes:
    if match is None:
        return b""
    return struct.pack(
        "!III6sI6s", 0x80000004, match.port, 0x80000606, match.destination, 0x80000806, match.source
    )


def _match(fields: bytes) -> bytes:
    length = 4 + len(fields)
    return struct.pack("!HH", 1, length) + fields + bytes(-length % 8)
