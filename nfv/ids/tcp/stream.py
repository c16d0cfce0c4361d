"""Reassembles one direction of a TCP connection from segments in any order (RFC 9293, section 3.10).

Positions are bytes since the first one of the stream, in 64 bits, so that sequence numbers may wrap.

Policy for overlaps: as Windows and BSD (Suricata's default ``host-os-policy``).  Bytes that came first stay,
except that a segment replaces those of a waiting segment that begins after it.  Limits: ``depth`` bytes are
reassembled (0: all), ``WINDOW`` bytes and ``MAX_HELD`` segments may wait behind a hole; segments beyond a
limit are not added, and are inspected as packets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from nfv.ids.tcp.shown import Shown

WINDOW = 4 << 20
"""How many bytes after a hole a segment may begin, even if the window is larger."""

REGION = 256 << 10
"""If so many bytes wait behind a hole, they count as a region of their own in EVE's ``ts_max_regions``."""

MAX_HELD = 2048
"""Segments that may wait behind a hole."""


SMALL = 256
"""Pieces below this size are joined, since each object has an overhead of about fifty bytes."""

HELD = 100
"""Overhead in bytes of a waiting segment."""


def extend(pieces: list[bytes], data: bytes) -> None:
    """Add a piece; a small one is joined to the last."""
    if len(data) < SMALL and pieces and len(pieces[-1]) < SMALL:
        pieces[-1] += data
    else:
        pieces.append(data)


class Stream:
    """The bytes of one side.  ``right`` is the end of the bytes without a hole, ``taken`` the end of those
    passed on."""

    __slots__ = (
        "acked",
        "base_seq",
        "begins",
        "chunks",
        "depth_reached",
        "fin",
        "gapped",
        "held",
        "held_size",
        "isn",
        "next_pos",
        "next_win",
        "overlaps",
        "parts",
        "raw",
        "raw_done",
        "raw_flush",
        "raw_tail",
        "regions",
        "right",
        "shown",
        "started",
        "taken",
        "wscale",
    )

    def __init__(self) -> None:
        self.started = False
        self.isn = 0
        self.base_seq = 0  # the sequence number at position 0
        self.right = 0
        self.taken = 0
        self.acked = 0
        self.next_pos = 0  # the highest position sent
        self.next_win = 0  # the highest position that the receiver allowed
        self.wscale = 0
        self.chunks: list[bytes] = []  # bytes taken … right
        self.held: dict[int, bytes] = {}  # segments behind a hole
        self.begins: list[int] = []  # their places in order
        self.held_size = 0  # their bytes
        self.fin = -1  # position of the FIN
        self.gapped = False
        self.regions = 1
        self.depth_reached = False
        self.overlaps = 0
        self.raw: list[bytes] = []  # handed on, but not inspected as stream yet
        self.raw_done = 0
        self.raw_tail = b""
        self.raw_flush = False
        self.parts: list[tuple[bytes, bytes]] = []  # texts that end at a hole, each behind its tail
        self.shown: Shown | None = None

    def begin(self, isn: int) -> None:
        """Start at an initial sequence number: the first byte is the one after it."""
        self.started = True
        self.isn = isn
        self.base_seq = isn + 1 & 0xFFFFFFFF

    def position(self, seq: int) -> int:
        """The position of a sequence number: the one that is nearest to the stream's present position."""
        near = self.right
        delta = (seq - self.base_seq - near) & 0xFFFFFFFF
        if delta & 0x80000000:
            delta -= 0x100000000
        return near + delta

    def add(self, at: int, data: bytes, depth: int) -> bool:
        """Add a segment; False if it is not added (old, too far, beyond the depth)."""
        right = self.right
        if at == right and not self.held:
            if depth and right >= depth:
                self.depth_reached = True
                return False
            extend(self.chunks, data)
            self.right = right + len(data)
            return True
        end = at + len(data)
        if depth and at >= depth:
            self.depth_reached = True
            return False
        if end <= right:
            self.overlaps += 1
            return True  # a retransmission
        if at < right:
            self.overlaps += 1
            data = data[right - at :]
            at = right
        if at > right + WINDOW:
            return False
        if at > right:
            if len(self.held) >= MAX_HELD:
                return False
            if at > right + REGION:
                self.regions = 2
            return self._hold(at, data)
        if self.held:
            self._replace(at, data)
        extend(self.chunks, data)
        self.right = at + len(data)
        if self.held:
            self._close_holes()
        return True

    def _hold(self, at: int, data: bytes) -> bool:
        """Keep a segment that lies behind a hole, without the bytes for which another segment has
        precedence."""
        end = at + len(data)
        pieces = [(at, data)]
        begins = self.begins
        first = max(bisect_right(begins, at) - 1, 0)  # none of those before it reaches so far
        for begin in begins[first : bisect_left(begins, end)]:
            body = self.held[begin]
            stop = begin + len(body)
            if stop <= at:
                continue
            self.overlaps += 1
            if at < begin:  # the new one begins before: it wins
                self._drop(begin)
                if stop > end:
                    self._put(end, body[end - begin :])
                continue
            cut: list[tuple[int, bytes]] = []
            for left, piece in pieces:  # the old one wins where it is
                last = left + len(piece)
                if left < begin:
                    cut.append((left, piece[: begin - left]))
                if last > stop:
                    cut.append((max(stop, left), piece[max(stop - left, 0) :]))
            pieces = cut
        for left, piece in pieces:
            if piece:
                self._put(left, piece)
        return True

    def _put(self, at: int, data: bytes) -> None:
        have = self.held.get(at)
        if have is None:
            insort(self.begins, at)
        self.held_size += len(data) - len(have or b"")
        self.held[at] = data

    def _drop(self, begin: int) -> bytes:
        del self.begins[bisect_left(self.begins, begin)]
        body = self.held.pop(begin)
        self.held_size -= len(body)
        return body

    def _replace(self, at: int, data: bytes) -> None:
        """Add a segment at the edge. It begins before the waiting ones, so its bytes replace theirs."""
        end = at + len(data)
        for begin in self.begins[: bisect_left(self.begins, end)]:
            body = self._drop(begin)
            self.overlaps += 1
            if begin + len(body) > end:
                self._put(end, body[end - begin :])

    def _close_holes(self) -> None:
        held = self.held
        while held:
            if self.begins[0] != self.right:
                return
            body = self._drop(self.right)
            extend(self.chunks, body)
            self.right += len(body)

    def lost(self) -> int:
        """Skip the bytes at the edge that were acknowledged but never seen; their number, 0 if there are
        none.

        All bytes before them must have been passed on.
        """
        acked = self.acked if self.fin < 0 else min(self.acked, self.fin)
        if acked <= self.right or self.taken < self.right:
            return 0
        target = min(acked, self.begins[0]) if self.begins else acked
        missing = target - self.right
        if missing <= 0:
            return 0
        self.gapped = True
        self.right = self.taken = target
        self._close_holes()
        return missing

    def take(self, everything: bool) -> bytes:
        """The bytes that may be passed on now: the acknowledged ones, or all before the first hole."""
        edge = self.right if everything else min(self.acked, self.right)
        count = edge - self.taken
        if count <= 0:
            return b""
        chunks = self.chunks
        self.taken = edge
        if edge == self.right:
            self.chunks = []
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        at = 0  # of the pieces, only that which the edge parts is copied
        while count >= len(chunks[at]):
            count -= len(chunks[at])
            at += 1
        parts = [*chunks[:at], chunks[at][:count]]
        chunks[at] = chunks[at][count:]
        del chunks[:at]
        return b"".join(parts)

    @property
    def stored(self) -> int:
        """The number of kept bytes, with overhead."""
        return self.right - self.taken + self.held_size + HELD * len(self.held)

    @property
    def waiting(self) -> int:
        """The number of bytes that are not passed on yet."""
        return self.right - self.taken
