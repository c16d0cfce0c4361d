"""Health checks as values: a backend's state from its results, and the requests and expected answers.
Pure."""

from __future__ import annotations

import struct

from wire import icmp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Health:
    """Whether a backend is up: it goes up after ``rise`` good results in a row, and down after ``fall`` bad
    ones.

    The very first result decides alone, so that a lab does not start with a guess.  A bad result right after
    the start is ignored, because the network or the backend may not work yet.
    """

    def __init__(self, rise: int, fall: int) -> None:
        self._rise, self._fall = rise, fall
        self._row = 0
        self.up: bool | None = None

    def result(self, good: bool, beginning: bool = False) -> bool:
        """Apply a result (``beginning``: it came right after the start); whether the state has changed."""
        if self.up is None:
            if beginning and not good:
                return False
            self.up = good
            return True
        if good is self.up:
            self._row = 0
            return False
        self._row += 1
        if self._row < (self._fall if self.up else self._rise):
            return False
        self.up, self._row = good, 0
        return True


def address(balancer: dict[str, Any], backend: dict[str, Any]) -> str:
    """The address to check: IPv4 if the backend and the balancer have it. Values as in ``checks.json``."""
    if balancer.get("ipv4") and backend.get("ipv4"):
        return str(backend["ipv4"]).partition("/")[0]
    return str(backend["ipv6"]).partition("/")[0]


def request(host: str, path: str) -> bytes:
    """An HTTP request (RFC 9112) that ends its connection."""
    name = f"[{host}]" if ":" in host else host
    return f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: sdnlab\r\nConnection: close\r\n\r\n".encode()


def status(answer: bytes) -> int | None:
    """The status code of an HTTP answer, which may be incomplete; None: no status yet, or none at all (RFC
    9112, 4)."""
    words = answer.split(b"\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].strip().isdigit():
        return None
    return int(words[1])


def echo_request(ipv6: bool, identifier: int, sequence: int) -> bytes:
    """An ICMP echo request; the kernel sets the checksum of ICMPv6's."""
    return icmp.echo(ipv6, identifier, sequence, b"sdnlab health")


def echo_reply(ipv6: bool, data: bytes) -> tuple[int, int] | None:
    """Identifier and sequence of an echo reply from a raw socket; None if it is another message."""
    at = 0 if ipv6 or not data else (data[0] & 15) * 4
    if len(data) < at + 8 or data[at] != (icmp.ECHO_REPLY6 if ipv6 else icmp.ECHO_REPLY):
        return None
    return struct.unpack_from("!HH", data, at + 4)
