"""Many packets sent at once, and watched for where they should arrive, in one loop.

Scapy's own ``srp`` decodes each packet, and waits for answers to a few. Here frames are octets: they are
built before the first is sent, compared as octets, and decoded when somebody looks at them.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.failure import Failure
from linux.readiness import ready

Key = Callable[[bytes], Hashable]
"""What is the same in a frame when it is sent and when it arrives."""
BURST = 32
"""Frames that are sent before we look for arrivals."""
WINDOW, PAUSE = 96, 0.05
"""Most frames on the way: an ordinary user's receive buffer holds some 250. After so many seconds without an
arrival they count as lost, and the next are sent."""
SETTLE = 0.05
"""Seconds that we look on when all have arrived: one that arrives twice is late. Also when one has arrived
where none should."""
_BIGGEST = 1 << 16
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_IP, _IP6 = b"\x08\x00", b"\x86\xdd"


def same(frame: bytes) -> Hashable:
    """What stays the same on the way: all but the MAC addresses, the TTL or hop limit with IPv4's checksum,
    and padding. What functions change (addresses, for example) is not the same."""
    kind, packet = frame[12:14], frame[14:]
    if kind == _IP and len(packet) >= 20:
        length = int.from_bytes(packet[2:4], "big") or len(packet)
        return kind + packet[:8] + packet[9:10] + packet[12:length]
    if kind == _IP6 and len(packet) >= 40:
        length = int.from_bytes(packet[4:6], "big")
        return kind + packet[:7] + packet[8 : 40 + length] if length else kind + packet[:7] + packet[8:]
    return frame[12:]


@dataclass(frozen=True)
class Delivery:
    """What became of packets that were sent. It is true when each arrived, once, wherever it should.

    ``frames``: host -> those that arrived there, in that order. ``missing``: host -> numbers of the packets
    that did not arrive, from 0. ``repeated``: host -> how many arrived once more. ``seconds`` from the first
    that was sent to the last that arrived.
    """

    sent: int
    frames: Mapping[str, Sequence[bytes]] = field(repr=False)
    missing: Mapping[str, Sequence[int]]
    repeated: Mapping[str, int]
    seconds: float
    overrun: int = 0
    """Frames that came faster than we could read them: some of the missing ones may be among them."""

    def __bool__(self) -> bool:
        return not any(self.missing.values()) and not any(self.repeated.values())

    @property
    def arrived(self) -> int:
        """How many arrived, at all hosts together."""
        return sum(map(len, self.frames.values()))

    def __str__(self) -> str:
        return "; ".join(
            f"{len(arrived)} of {self.sent} packets arrived at {host}"
            + (f", {self.repeated[host]} of them more than once" if self.repeated[host] else "")
            for host, arrived in self.frames.items()
        ) + (f" ({self.overrun} frames came too fast to be seen)" if self.overrun else "")


class NotDelivered(Failure):
    """Packets did not arrive, or arrived where they should not, or twice; ``delivery`` says what came."""

    def __init__(self, what: str, remedy: str, delivery: Delivery) -> None:
        super().__init__(what, remedy)
        self.delivery = delivery


def deliver(
    sender: socket.socket,
    frames: Sequence[bytes],
    receivers: Mapping[str, socket.socket],
    timeout: float,
    key: Key = same,
    *,
    nothing: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Delivery:
    """Send frames, and collect those that arrive at ``receivers`` until all are there.

    ``timeout``: seconds to wait after the last is sent. ``nothing``: they should not arrive, so wait for all
    of this time, or until some have arrived.
    """
    keys = [key(frame) for frame in frames]
    wanted = Counter(keys)
    due = {host: Counter(wanted) for host in receivers}
    arrived: dict[str, list[bytes]] = {host: [] for host in receivers}
    repeated = dict.fromkeys(receivers, 0)
    by_socket = {raw: host for host, raw in receivers.items()}
    for raw in (sender, *by_socket):
        raw.setblocking(False)
    for raw in receivers.values():
        _overrun(raw)  # what was before does not count
    at, base, began = 0, 0, clock()
    last, until = began, began + timeout
    while True:
        waiting = max((sum(some.values()) for some in due.values()), default=0)
        decided = any(arrived.values()) if nothing else not waiting
        if at == len(frames) and decided:
            until = min(until, last + SETTLE)
        on_the_way = at - max(base, len(frames) - waiting)
        more = [sender] if at < len(frames) and on_the_way < WINDOW else []
        left = PAUSE if at < len(frames) else max(0.0, until - clock())
        come, writable = ready(list(by_socket), more, left)
        for raw in come:
            host = by_socket[raw]
            for frame in _read(raw):
                if (what := key(frame)) not in wanted:
                    continue
                arrived[host].append(frame)
                last = clock()
                if due[host][what] > 0:
                    due[host][what] -= 1
                else:
                    repeated[host] += 1
        if writable:
            at = _send(sender, frames, at)
            until = clock() + timeout
        elif not come and at < len(frames):
            base = at  # nothing came for a while: what is on the way is lost
        elif not come and clock() >= until:
            break
    overrun = sum(_overrun(raw) for raw in receivers.values())
    return Delivery(len(frames), arrived, _numbers(keys, due), repeated, last - began, overrun)


def _overrun(raw: socket.socket) -> int:
    """How many frames a packet socket had no room for since it was last asked (packet(7))."""
    try:
        return int(struct.unpack("II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1])
    except OSError:  # no packet socket
        return 0


def _send(sender: socket.socket, frames: Sequence[bytes], at: int) -> int:
    """Send the next frames, as far as the kernel takes them; the number of the first that is not sent."""
    for number in range(at, min(at + BURST, len(frames))):
        try:
            sender.send(frames[number])
        except (BlockingIOError, InterruptedError):
            return number
        except OSError as error:
            raise Failure(
                f"can't send packet {number}: {error.strerror}", "is it longer than the MTU?"
            ) from None
    return min(at + BURST, len(frames))


def _read(raw: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    try:
        while len(frames) < 4 * BURST:
            frames.append(raw.recv(_BIGGEST))
    except BlockingIOError:
        pass
    return frames


def _numbers(keys: Sequence[Hashable], due: Mapping[str, Counter[Hashable]]) -> dict[str, list[int]]:
    """Which packets are missing: of several that are the same, the last ones."""
    missing: dict[str, list[int]] = {}
    for host, some in due.items():
        left = Counter(some)
        numbers = []
        for number in range(len(keys) - 1, -1, -1):
            if left[keys[number]] > 0:
                left[keys[number]] -= 1
                numbers.append(number)
        missing[host] = numbers[::-1]
    return missing
