"""Identifiers of ICMP queries that an address translator has to change (RFC 5508, REQ-1): pings of two hosts
inside with one identifier and one destination. Pure.

Open vSwitch translates an echo's addresses and not its identifier, and no flow can write that.  So the
controller does, packet by packet, and only for sessions that would else collide: a packet that finds its
identifier taken comes to it, gets the next *substitute*, and is translated as if its host had chosen that.
What comes back for a connection with a substitute goes by the controller, too, and gets its identifier back.

The controller remembers nothing, so it may be restarted meanwhile: a substitute is the identifier XOR a key
that follows from its number and the host's address alone, and the number is the connection's mark.  When the
other session is over, the identifier is free, and what is sent next is translated by the switch again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from controller.compiler.tracking import state
from controller.flow.builders import INSIDE, VERDICT, Priority, flow
from controller.flow.meters import ECHOES
from controller.flow.tables import CONTROLLER, Action, Ct, Field, Flow, Move, Output, SetField, Table, ToMeter
from wire.checksum import adjusted
from wire.ethertype import IPV4, octets
from wire.protocol import ICMP

SUBSTITUTES = 4
"""Substitutes that are tried, one after the other, for each identifier."""
READY = 4
"""This bit of VERDICT says that what comes back has its host's address and identifier again."""
_PLACE, _MASK = 4, 0xF0
"""VERDICT's bits for the number of the substitute that a packet has; 0: the identifier of its host."""
_TO_CONTROLLER = (ToMeter(ECHOES.id), Output(CONTROLLER))
_KIND, _PROTOCOL = Field("eth_type", IPV4), Field("ip_proto", ICMP)
_NEW, _NO_ERROR = state("+trk-inv+new"), state("+trk-inv-rel")
_QUERIES = (8, 13, 15, 17)
_REPLIES = (0, 14, 16, 18)
"""ICMP types with an identifier: echo, timestamp, information and address mask (RFC 792; RFC 950)."""
_ERRORS = (3, 4, 5, 11, 12)


class Priorities(NamedTuple):
    """Those of the translator's own flows, above which the ones here are."""

    connection: int
    exhausted: int
    translated: int


def numbered(number: int) -> Field:
    """A match of the packets that have this substitute."""
    return Field(VERDICT, number << _PLACE, _MASK)


def number_of(verdict: int) -> int:
    """The substitute that a packet with this VERDICT has."""
    return (verdict & _MASK) >> _PLACE


def with_number(number: int) -> int:
    """VERDICT of a packet that has been given this substitute."""
    return number << _PLACE


def going_out(
    here: Field,
    look_up: Ct,
    commit: tuple[SetField, Ct],
    translated: tuple[tuple[Action, ...], Table | None],
    at: Priorities,
    what: str,
) -> Iterator[Flow]:
    """Of a hop that masquerades. ``commit``: VERDICT's bit that says so, and the translation of new ones;
    ``translated``: how a packet that has been goes on."""
    echo = (here, _KIND, _PROTOCOL)
    untracked = state("-trk")
    asked, masquerade = commit
    known = (Move("ip_src", INSIDE, 32), look_up)
    yield flow(Table.STEER, Priority.KNOWN + 1, (*echo, untracked), known, why=f"{what}: of a known query?")
    for number in range(1, SUBSTITUTES + 1):
        yield flow(Table.STEER, at.connection + 1, (*echo, _NEW, numbered(number)),
                   (asked, masquerade._replace(mark=number)),
                   why=f"{what}: a new query, with its substitute {number}")  # fmt: skip
    address = Field("ip_src", masquerade.address or 0)
    done, goto = translated
    for number in range(SUBSTITUTES + 1):
        match = (*echo, state("+trk-inv"), numbered(number), Field("ct_mark", number), address)
        actions = (SetField(INSIDE, 0), *done)
        said = f"{what}: masqueraded" + (f", with substitute {number}" if number else "")
        yield flow(Table.STEER, at.translated + 2, match, actions, goto, why=said)
    yield from collisions(here, address, asked, at, what)


def collisions(
    here: Field, address: Field, asked: SetField, at: Priorities, what: str = ""
) -> Iterator[Flow]:
    """What sends packets to the controller whose identifier is another session's: of another host, or of the
    same one where one of the two has a substitute. ``address``: a match of what is masqueraded."""
    echo = (here, _KIND, _PROTOCOL)
    match = (*echo, _NEW, Field(VERDICT, asked.value, asked.value))
    why = f"{what}: another host's identifier: the controller gives the next substitute"
    yield flow(Table.STEER, at.exhausted + 1, match, _TO_CONTROLLER, why=why)
    why = f"{what}: another query's identifier: the controller gives the next substitute"
    yield flow(Table.STEER, at.translated + 1, (*echo, _NO_ERROR, address), _TO_CONTROLLER, why=why)


def coming_back(here: Field, at: Priorities, what: str = "") -> Iterator[Flow]:
    """Of a translator's hop back: what has a substitute, or is about a packet that had."""
    for number in range(1, SUBSTITUTES + 1):
        match = (here, _KIND, _PROTOCOL, state("+trk-inv"), Field("ct_mark", number))
        actions = (SetField(VERDICT, with_number(number)), *_TO_CONTROLLER)
        why = f"{what}: has substitute {number}: the controller gives the identifier back"
        yield flow(Table.STEER, at.translated + 1, match, actions, why=why)


# -- packets ---------------------------------------------------------------------------


def substituted(frame: bytes, inside: int, number: int) -> bytes | None:
    """A query that has substitute ``number`` (0: none) with the next one, from its host's address ``inside``.
    None: it is none, or there is no next."""
    at = _icmp_at(frame)
    if at is None or number >= SUBSTITUTES:
        return None
    change = substitute_key(inside, number) ^ substitute_key(inside, number + 1)
    data = bytearray(frame)
    _adjust(data, 24, 26, inside >> 16)
    _adjust(data, 24, 28, inside & 0xFFFF)
    if not _later(frame):
        if len(frame) < at + 8 or frame[at] not in _QUERIES:
            return None
        _adjust(data, at + 2, at + 4, _word(data, at + 4) ^ change)
    return bytes(data)


def given_back(frame: bytes, number: int) -> bytes | None:
    """A reply to a query that has substitute ``number``, or an error about one, with its host's identifier.
    None: it is neither."""
    at = _icmp_at(frame)
    if at is None:
        return None
    if _later(frame):
        return frame
    data = bytearray(frame)
    key = substitute_key(int.from_bytes(frame[30:34], "big"), number)
    if len(frame) >= at + 8 and frame[at] in _REPLIES:
        _adjust(data, at + 2, at + 4, _word(data, at + 4) ^ key)
        return bytes(data)
    if len(frame) < at + 8 + 20 or frame[at] not in _ERRORS:
        return None
    about = at + 8 + (frame[at + 8] & 15) * 4
    if len(frame) < about + 8 or frame[at + 8 + 9] != ICMP:
        return None
    # the inner checksum takes the change up, so that the outer one is as it was
    _adjust(data, about + 2, about + 4, _word(data, about + 4) ^ key)
    return bytes(data)


def substitute_key(inside: int, number: int) -> int:
    """What the identifiers of the host ``inside`` (its IPv4 address) are changed by (XOR) for a substitute;
    nothing for 0."""
    if number == 0:
        return 0
    content = inside.to_bytes(4, "big") + bytes([number])
    return int.from_bytes(blake2b(content, digest_size=2).digest(), "big")


def _icmp_at(frame: bytes) -> int | None:
    """Where an IPv4 packet's ICMP message begins; None: it is none."""
    if len(frame) < 34 or frame[12:14] != octets(IPV4) or frame[23] != ICMP or frame[14] & 15 < 5:
        return None
    return 14 + (frame[14] & 15) * 4


def _later(frame: bytes) -> bool:
    return bool(_word(frame, 20) & 0x1FFF)


def _word(data: bytes | bytearray, at: int) -> int:
    word: int = struct.unpack_from("!H", data, at)[0]
    return word


def _adjust(data: bytearray, checksum: int, at: int, value: int) -> None:
    """Write 16 bits, and what that makes of a checksum."""
    struct.pack_into("!H", data, checksum, adjusted(_word(data, checksum), _word(data, at), value))
    struct.pack_into("!H", data, at, value)
