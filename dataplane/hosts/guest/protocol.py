"""The frames between a lab and the agent in a virtual machine, and between a lab's programs. Pure.

A frame has a kind, a channel, and a payload of at most ``MOST`` octets.  On the wire it stands between two
END octets, which are escaped inside (SLIP, RFC 1055): so a reader finds the next frame after anything, also
after half a frame that a lost connection left.  The length and a checksum (CRC-32) tell frames from
garbage.

Each command has a channel, whose number the starting side chooses.  Its streams are counted: who sends on a
stream may have ``WINDOW`` octets under way, and more as the other end reports them read (CREDIT).  So a
reader that does not read stops its own stream only.
"""

from __future__ import annotations

import binascii
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Frame = tuple[int, int, bytes]
    """Kind, channel, payload."""

VERSION = 1
MOST = 1 << 20
"""Octets of a payload."""
WINDOW = 1 << 18
"""Octets of a stream that may be under way."""
CHUNK = 1 << 15
"""Octets of a stream in one frame."""

HELLO = 1
"""Both ways, on channel 0: a session, ``SESSION`` octets, and the version. The lab chooses the session, and
the agent repeats it: all channels of earlier sessions are over. An agent that starts says the session
``NONE``."""
PING, PONG = 2, 3
"""The same payload comes back."""
RUN = 4
"""To the agent: start a command; see ``run_payload``."""
INPUT, OUTPUT, ERRORS = 5, 6, 7
"""Octets of a standard stream. An INPUT without octets ends it."""
CREDIT = 8
"""Octets of a stream were read; see ``credit_payload``."""
UNREAD = 9
"""Nobody reads a stream (one octet, 0 to 2) any more: who writes to it shall get SIGPIPE."""
SIGNAL = 10
"""To the agent: a signal's number, one octet. A CREDIT of no octets answers: the agent is alive."""
RESIZE = 11
"""To the agent: rows and columns of the terminal."""
CLOSE = 12
"""To the agent: the command's user is gone; it gets SIGHUP."""
EXIT = 13
"""From the agent, at last: an exit code, as shells count it: 128 + N for signal N."""
FAILED = 14
"""From the agent, instead of EXIT: the command did not start: an exit code, and why."""
CONFIGURE, CONFIGURED = 15, 16
"""Steps (``steps_payload``); answered by a text for each step that failed."""
LOST = 17
"""From the lab to its programs: the channel ended with the machine, or there is none now; why."""

STREAMS = {0: INPUT, 1: OUTPUT, 2: ERRORS}
SESSION = 8
NONE = bytes(SESSION)

_END, _ESCAPE = b"\xc0", b"\xdb"
_HEADER = struct.Struct("!BII")
_CHECK = struct.Struct("!I")
_SIZE = _HEADER.size + _CHECK.size


def encode(kind: int, channel: int, payload: bytes = b"") -> bytes:
    """A frame as octets. Raises ValueError for a payload of more than ``MOST`` octets."""
    if len(payload) > MOST:
        raise ValueError(f"a frame of {len(payload)} octets; at most {MOST}")
    header = _HEADER.pack(kind, channel, len(payload))
    body = header + _CHECK.pack(binascii.crc32(payload, binascii.crc32(header))) + payload
    return b"".join((_END, body.replace(_ESCAPE, b"\xdb\xdd").replace(_END, b"\xdb\xdc"), _END))


class Parser:
    """Frames of a stream of octets. What is no frame is left out and counted in ``dropped``."""

    def __init__(self) -> None:
        self.dropped = 0
        self._begun = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in ``data``."""
        self._begun += data
        if _END not in data:
            if len(self._begun) > 2 * (MOST + _SIZE):
                self._begun.clear()
                self._skipping = True
            return []
        pieces = bytes(self._begun).split(_END)
        self._begun = bytearray(pieces.pop())
        if self._skipping:
            self._skipping = False
            self.dropped += 1
            del pieces[0]
        frames = []
        for piece in pieces:
            frame = _decode(piece) if piece else None
            if frame is not None:
                frames.append(frame)
            elif piece:
                self.dropped += 1
        return frames


def _decode(piece: bytes) -> Frame | None:
    body = piece.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", _ESCAPE)
    if not _SIZE <= len(body) <= MOST + _SIZE:
        return None
    kind, channel, length = _HEADER.unpack_from(body)
    (check,) = _CHECK.unpack_from(body, _HEADER.size)
    payload = body[_SIZE:]
    if length != len(payload) or check != binascii.crc32(payload, binascii.crc32(body[: _HEADER.size])):
        return None
    return kind, channel, payload


def pack(fields: Iterable[bytes]) -> bytes:
    """Strings of octets as one."""
    return b"".join(struct.pack("!I", len(field)) + field for field in fields)


def unpack(data: bytes) -> list[bytes]:
    """The strings of ``pack``. Raises ValueError if it is not from there."""
    fields = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ValueError("a field without its length")
        (length,) = struct.unpack_from("!I", data, at)
        at += 4 + length
        if at > len(data):
            raise ValueError("a field without its end")
        fields.append(data[at - length : at])
    return fields


def hello_payload(session: bytes) -> bytes:
    """The payload of HELLO."""
    return session + bytes([VERSION])


def parse_hello(payload: bytes) -> tuple[bytes, int]:
    """(session, version). Raises ValueError."""
    if len(payload) <= SESSION:
        raise ValueError("a HELLO without session and version")
    return payload[:SESSION], payload[SESSION]


def size_payload(rows: int, columns: int) -> bytes:
    """The payload of RESIZE."""
    return struct.pack("!HH", min(rows, 0xFFFF), min(columns, 0xFFFF))


def parse_size(payload: bytes) -> tuple[int, int]:
    """(rows, columns). Raises ValueError."""
    if len(payload) != 4:
        raise ValueError("a RESIZE without rows and columns")
    rows, columns = struct.unpack("!HH", payload)
    return rows, columns


def run_payload(
    words: Sequence[bytes], environment: Iterable[bytes], terminal: bytes = b"", apart: bool = False
) -> bytes:
    """The payload of RUN.

    ``words``: the command and its arguments; none: a shell. ``environment``: ``NAME=VALUE``, beside the
    agent's own. ``terminal``: of ``size_payload``, for a command on a terminal of its own, else it has pipes.
    ``apart``: on a terminal, the standard error is a pipe all the same.
    """
    return pack([pack(words), pack(environment), terminal, b"1" if apart else b""])


def parse_run(payload: bytes) -> tuple[list[bytes], dict[bytes, bytes], tuple[int, int] | None, bool]:
    """(words, environment, rows and columns or None, whether the standard error is apart). ValueError."""
    fields = unpack(payload)
    if len(fields) != 4:
        raise ValueError("a RUN without its four fields")
    words, environment, terminal, apart = fields
    pairs = [entry.partition(b"=") for entry in unpack(environment)]
    size = parse_size(terminal) if terminal else None
    return unpack(words), {name: value for name, _, value in pairs}, size, bool(apart)


def credit_payload(stream: int, count: int) -> bytes:
    """The payload of CREDIT: ``count`` octets of ``stream`` (0 to 2) were read."""
    return struct.pack("!BI", stream, count)


def parse_credit(payload: bytes) -> tuple[int, int]:
    """(stream, count). Raises ValueError."""
    if len(payload) != 5 or payload[0] not in STREAMS:
        raise ValueError("a CREDIT without stream and count")
    stream, count = struct.unpack("!BI", payload)
    return stream, count


def code_payload(code: int, why: str = "") -> bytes:
    """The payload of EXIT and FAILED."""
    return struct.pack("!i", code) + why.encode("utf-8", "replace")


def parse_code(payload: bytes) -> tuple[int, str]:
    """(exit code, why). Raises ValueError."""
    if len(payload) < 4:
        raise ValueError("an EXIT without a code")
    return struct.unpack("!i", payload[:4])[0], payload[4:].decode("utf-8", "replace")


def steps_payload(steps: Iterable[Sequence[bytes]]) -> bytes:
    """The payload of CONFIGURE; a step is a word and its arguments (``dataplane.hosts.guest.configure``)."""
    return pack([pack(step) for step in steps])


def parse_steps(payload: bytes) -> list[list[bytes]]:
    """The steps of ``steps_payload``. Raises ValueError."""
    return [unpack(step) for step in unpack(payload)]
