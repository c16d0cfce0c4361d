"""DNS over UDP and TCP (RFC 1035, 3596, 2782, 6891): messages as transactions, one each.

Limits: 64 questions and 512 records of a message, 255 bytes of a name, 32 jumps of compression in a name.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any

from nfv.ids.app.base import MAX_TRANSACTIONS, Parser, Tx, Value
from nfv.ids.app.dns.names import RCODE_NAMES, TYPE_NAMES

_HEADER = Struct("!HHHHHH").unpack_from
_RR = Struct("!HHIH").unpack_from
_MAX_RECORDS = 512


class Malformed(Exception):
    """The message is truncated or malformed."""


def name(data: bytes, at: int, known: dict[int, bytes] | None = None) -> tuple[bytes, int]:
    """A domain name and the position after it (RFC 1035, sections 3.1 and 4.1.4).

    ``known`` keeps the targets of this message's pointers, so that each pointer is followed once.
    """
    first: tuple[int, int] | None = None  # the first pointer's target, and the labels before it
    labels: list[bytes] = []
    end, jumps, size = -1, 0, 0
    total = len(data)
    while True:
        if at >= total:
            raise Malformed
        length = data[at]
        if length == 0:
            at += 1
            break
        if length & 0xC0 == 0xC0:
            if at + 1 >= total:
                raise Malformed
            if end < 0:
                end = at + 2
            jumps += 1
            if jumps > 32:
                raise Malformed
            at = (length & 0x3F) << 8 | data[at + 1]
            if known is not None and first is None:
                first = at, len(labels)
                tail = known.get(at)
                if tail is not None:
                    if size + len(tail) + 1 > 1025:
                        raise Malformed
                    labels += [tail] if tail else []
                    break
            continue
        if length & 0xC0:
            raise Malformed
        label = data[at + 1 : at + 1 + length]
        if len(label) < length:
            raise Malformed
        size += length + 1
        if size > 1025:
            raise Malformed
        labels.append(label)
        at += 1 + length
    if known is not None and first is not None:
        known.setdefault(first[0], b".".join(labels[first[1] :]))
    return b".".join(labels), end if end >= 0 else at


def printable(value: bytes) -> str:
    """Bytes of a name as text; unprintable ones as \\xNN."""
    if value.isascii() and b"\\" not in value:
        text = value.decode("ascii")
        if text.isprintable():
            return text
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in value)


Record = tuple[bytes, int, int, Any]
"""Name, type, time to live, data as EVE shows it (None: not shown)."""


class Message:
    """A parsed message. If it is truncated, the rest is missing and ``broken`` is set."""

    __slots__ = ("additionals", "answers", "authorities", "broken", "flags", "id", "questions", "rcode")

    def __init__(self, data: bytes) -> None:
        if len(data) < 12:
            raise Malformed
        self.id, self.flags, questions, answers, authorities, additionals = _HEADER(data)
        self.questions: list[tuple[bytes, int]] = []
        self.answers: list[Record] = []
        self.authorities: list[Record] = []
        self.additionals: list[Record] = []
        self.rcode = self.flags & 15
        self.broken = False
        known: dict[int, bytes] = {}
        at = 12
        if questions > 64:
            raise Malformed
        for _ in range(questions):
            owner, at = name(data, at, known)
            if at + 4 > len(data):
                raise Malformed
            self.questions.append((owner, data[at] << 8 | data[at + 1]))
            at += 4
        try:
            for count, into in (
                (answers, self.answers),
                (authorities, self.authorities),
                (additionals, self.additionals),
            ):
                for _ in range(min(count, _MAX_RECORDS)):
                    at = self._record(data, at, into, known)
        except Malformed:
            self.broken = True

    def _record(self, data: bytes, at: int, into: list[Record], known: dict[int, bytes]) -> int:
        owner, at = name(data, at, known)
        if at + 10 > len(data):
            raise Malformed
        kind, _, ttl, length = _RR(data, at)
        at += 10
        end: int = at + length
        if end > len(data):
            raise Malformed
        if kind == 41:  # EDNS(0), RFC 6891: the upper bits of the response code
            self.rcode |= ttl >> 24 << 4
        into.append((owner, kind, ttl, _rdata(data, at, end, kind, known)))
        return end


def _rdata(data: bytes, at: int, end: int, kind: int, known: dict[int, bytes]) -> Any:
    if kind == 1:
        return str(IPv4Address(data[at:end])) if end - at == 4 else None
    if kind == 28:
        return IPv6Address(data[at:end]).exploded if end - at == 16 else None
    if kind in (2, 5, 12, 39):
        return printable(name(data, at, known)[0])
    if kind == 15 and end - at > 2:
        return printable(name(data, at + 2, known)[0])
    if kind in (16, 99):
        texts = []
        while at < end:
            size = data[at]
            texts.append(printable(data[at + 1 : min(at + 1 + size, end)]))
            at += 1 + size
        return texts
    if kind == 6:
        primary, after = name(data, at, known)
        mailbox, after = name(data, after, known)
        if after + 20 > len(data):
            raise Malformed
        fields = Struct("!IIIII").unpack_from(data, after)
        names = ("serial", "refresh", "retry", "expire", "minimum")
        return {
            "soa": {
                "mname": printable(primary),
                "rname": printable(mailbox),
                **dict(zip(names, fields, strict=True)),
            }
        }
    if kind == 33 and end - at > 6:
        priority, weight, port = Struct("!HHH").unpack_from(data, at)
        return {
            "srv": {
                "priority": priority,
                "weight": weight,
                "port": port,
                "name": printable(name(data, at + 6, known)[0]),
            }
        }
    if kind == 44 and end - at > 2:
        return {"sshfp": {"fingerprint": data[at + 2 : end].hex(":"), "algo": data[at], "type": data[at + 1]}}
    return None


class DnsTx(Tx):
    """One message."""

    proto = "dns"
    __slots__ = ("message", "request")

    def __init__(self, number: int, ts: float, message: Message, request: bool) -> None:
        super().__init__(number, ts)
        self.message = message
        self.request = request
        self.done_ts = self.done_tc = True
        self.touched_ts, self.touched_tc = request, not request

    @property
    def opcodes(self) -> list[int]:
        """The operation code."""
        return [self.message.flags >> 11 & 15]

    @property
    def rcodes(self) -> list[int]:
        """The response code, with the bits of EDNS."""
        return [self.message.rcode]

    @property
    def rrtypes(self) -> list[int]:
        """Types of questions and answers."""
        message = self.message
        return [kind for _, kind in message.questions] + (
            [] if self.request else [kind for _, kind, _, _ in message.answers]
        )

    def get(self, name: str, toserver: bool) -> Value:
        """See ``Tx.get``."""
        if toserver != self.request:
            return []
        message = self.message
        if name in ("dns.query", "dns.queries.rrname"):
            return [owner for owner, _ in message.questions]
        if name == "dns.answers.rrname":
            return [record[0] for record in message.answers]
        if name == "dns.authorities.rrname":
            return [record[0] for record in message.authorities]
        if name == "dns.additionals.rrname":
            return [record[0] for record in message.additionals]
        if name == "dns.response.rrname":
            return [r[0] for r in (*message.answers, *message.authorities, *message.additionals)] + [
                owner for owner, _ in message.questions
            ]
        return []

    def eve(self) -> dict[str, Any]:
        """The ``dns`` object, version 3 (Suricata 8)."""
        message = self.message
        out: dict[str, Any] = {
            "version": 3,
            "type": "request" if self.request else "response",
            "tx_id": self.number,
            "id": message.id,
            "flags": f"{message.flags:x}",
            **_flag_words(message),
            "opcode": message.flags >> 11 & 15,
            "rcode": rcode(message),
            "queries": [
                {"rrname": printable(owner), "rrtype": rrtype(kind)} for owner, kind in message.questions
            ],
        }
        if message.answers and not self.request:
            out["answers"] = [_shown(record) for record in message.answers]
            out["grouped"] = grouped(message)
        if message.authorities and not self.request:
            out["authorities"] = [_shown(record) for record in message.authorities]
        if message.additionals and not self.request:
            shown = [_shown(record) for record in message.additionals if record[1] != 41]
            if shown:
                out["additionals"] = shown
        return out

    def eve_v2(self) -> list[dict[str, Any]]:
        """The ``dns`` objects of version 2 (Suricata 7): one for each question, one for an answer."""
        message = self.message
        if self.request:
            return [
                {
                    "type": "query",
                    "id": message.id,
                    "rrname": printable(owner),
                    "rrtype": rrtype(kind),
                    "tx_id": self.number,
                    "opcode": message.flags >> 11 & 15,
                }
                for owner, kind in message.questions
            ]
        out: dict[str, Any] = {
            "version": 2,
            "type": "answer",
            "id": message.id,
            "flags": f"{message.flags:x}",
            **_flag_words(message),
            "opcode": message.flags >> 11 & 15,
        }
        if message.questions:
            out["rrname"], out["rrtype"] = printable(message.questions[0][0]), rrtype(message.questions[0][1])
        out["rcode"] = rcode(message)
        if message.answers:
            out["answers"] = [_shown(record) for record in message.answers]
            out["grouped"] = grouped(message)
        if message.authorities:
            out["authorities"] = [_shown(record) for record in message.authorities]
        return [out]


def _flag_words(message: Message) -> dict[str, bool]:
    bits = (("qr", 0x8000), ("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080))
    return {word: True for word, bit in bits if message.flags & bit}


def rcode(message: Message) -> str:
    """The response code's name."""
    return RCODE_NAMES.get(message.rcode, f"RCODE-{message.rcode}")


def rrtype(kind: int) -> str:
    """The record type's name."""
    return TYPE_NAMES.get(kind, f"UNKNOWN-{kind}")


def _shown(record: Record) -> dict[str, Any]:
    owner, kind, ttl, value = record
    out: dict[str, Any] = {"rrname": printable(owner), "rrtype": rrtype(kind), "ttl": ttl}
    if isinstance(value, dict):
        out.update(value)
    elif isinstance(value, list):
        out["rdata"] = value[0] if len(value) == 1 else "".join(value)
    elif value is not None:
        out["rdata"] = value
    return out


def grouped(message: Message) -> dict[str, list[Any]]:
    """Answers by their type."""
    out: dict[str, list[Any]] = {}
    for _, kind, _, value in message.answers:
        if value is None:
            continue
        values = (
            value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
        )
        out.setdefault(rrtype(kind), []).extend(values)
    return out


class DnsParser(Parser):
    """Messages of a flow: datagrams, or a stream in which each has its length before it (RFC 7766)."""

    proto = "dns"
    tx_name = "dns_udp"

    def __init__(self, stream: bool) -> None:
        super().__init__()
        self._stream = stream
        if stream:
            self.tx_name = "dns_tcp"  # type: ignore[misc]
        self._buffers = {True: bytearray(), False: bytearray()}

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """See ``Parser.feed``."""
        if not self._stream:
            self._message(data, toserver, ts)
            return
        buffer = self._buffers[toserver]
        buffer += data
        while len(buffer) >= 2:
            if len(self.txs) >= MAX_TRANSACTIONS:
                self.backlog = bytes(buffer)
                buffer.clear()
                return
            size = buffer[0] << 8 | buffer[1]
            if len(buffer) < 2 + size:
                return
            message = bytes(buffer[2 : 2 + size])
            del buffer[: 2 + size]
            if size:
                self._message(message, toserver, ts)

    def _message(self, data: bytes, toserver: bool, ts: float) -> None:
        try:
            message = Message(data)
        except Malformed:
            self.event("malformed_data")
            return
        request = not message.flags & 0x8000
        if message.flags & 0x0040:
            self.event("z_flag_set", self.count)
        if message.broken:
            self.event("malformed_data", self.count)
            if request:
                return
        tx = DnsTx(self.count, ts, message, request)
        if request != toserver:
            # a message to the server that claims to be a response still belongs to its own direction
            tx.request = toserver
            tx.touched_ts, tx.touched_tc = toserver, not toserver
        self.count += 1
        if not self._stream:  # where each message was inspected with its packet
            self.overflow()
        self.txs.append(tx)
        if toserver:
            self.trigger_ts = True
        else:
            self.trigger_tc = True
