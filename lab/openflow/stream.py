"""A stream of octets -> whole OpenFlow messages. Pure."""

from __future__ import annotations

from controller.openflow import messages
from lab.openflow import types

GREETING = messages.header(messages.HELLO, 0)
"""What who listens says first: Open vSwitch sends nothing before (OpenFlow 1.5.1, 6.3.1). The version that it
agrees on does not matter: messages are copied as they are."""


class Stream:
    """Collects octets. ``greeted``: the other end has said hello, which belongs to this stream alone.

    ``broken``: a message was shorter than its header, so what follows can't be told apart.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.greeted = False
        self.broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""
        octets, at, whole = self._rest + data, 0, []
        while at + types.HEADER <= len(octets):
            size = int.from_bytes(octets[at + 2 : at + 4], "big")
            if size < types.HEADER:
                self.broken = True
                break
            if at + size > len(octets):
                break
            message = octets[at : at + size]
            at += size
            if not self.greeted and message[1] == messages.HELLO:
                self.greeted = True
            else:
                whole.append(message)
        self._rest = octets[at:]
        return whole
