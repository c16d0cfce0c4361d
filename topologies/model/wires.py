"""What wires do to traffic. Pure."""

from __future__ import annotations

from typing import Literal

from topologies.model.values import Frozen


class Queue(Frozen):
    """How much may wait at the sender of a wire of limited bandwidth: ``amount`` packets, bytes, or
    microseconds of its bandwidth."""

    amount: int
    unit: Literal["packets", "bytes", "us"]


class Shaping(Frozen):
    """What a wire does to traffic; None means nothing.

    ``bandwidth`` in bit/s; ``delay`` one-way, and ``jitter``, in microseconds; the others as fractions 0..1
    of frames: ``loss``, ``reorder`` (they are not delayed, and overtake), ``duplicate``, ``corrupt`` (one bit
    is changed). ``queue``: None: 50 ms, at least 30 frames.
    ``back``: what it does to what comes from its second end, or from the switch to a host; None: the same.
    """

    bandwidth: int | None = None
    delay: int | None = None
    jitter: int | None = None
    loss: float | None = None
    reorder: float | None = None
    duplicate: float | None = None
    corrupt: float | None = None
    queue: Queue | None = None
    back: Shaping | None = None

    def __bool__(self) -> bool:
        return any(way.bandwidth is not None or way.emulated for way in self.ways)

    @property
    def forth(self) -> Shaping:
        """What it does to what comes from its first end, or from a host."""
        return self if self.back is None else self.model_copy(update={"back": None})

    @property
    def ways(self) -> tuple[Shaping, Shaping]:
        """What it does in each direction: from its first end, and back."""
        return self.forth, self.forth if self.back is None else self.back

    @property
    def emulated(self) -> bool:
        """Whether it does more, in this direction, than to limit the bandwidth."""
        return any((self.delay, self.jitter, self.loss, self.reorder, self.duplicate, self.corrupt))

    @property
    def longest_delay(self) -> int:
        """The longest time that a frame may be on it in one direction, in microseconds."""
        return max((way.delay or 0) + (way.jitter or 0) for way in self.ways)


EFFECTS = ("bandwidth", "delay", "jitter", "loss", "reorder", "duplicate", "corrupt", "queue")
"""The fields of ``Shaping`` that each direction has."""
UNSHAPED = Shaping()


def both_ways(forth: Shaping, back: Shaping) -> Shaping:
    """A wire that does ``forth`` in one direction, and ``back`` in the other."""
    return forth if forth == back else forth.model_copy(update={"back": back})
