"""Which of a function's instances serves which share of its connections. Pure.

A switch's hash chooses one of a fixed number of shares, and a table gives each share to an instance.  The
table is made by rendezvous hashing (Thaler and Ravishankar, 1998): each instance bids for each share, and the
highest bid wins.  When an instance leaves, only its own shares move; when one joins, only the shares that it
wins move.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

SHARES = 128
"""More make the instances' parts more equal; fewer need fewer flows."""
SPREAD = 1 << 16
"""This bit of register SHARE says that the frame's share is known: 0 is a share, too."""


@lru_cache(maxsize=65536)
def _bid(instance: str, share: int) -> tuple[bytes, str]:
    return blake2b(f"{instance}/{share}".encode(), digest_size=8).digest(), instance


def winner(instances: Iterable[str], share: int) -> str:
    """The instance, of at least one, that serves this share."""
    return max(instances, key=lambda instance: _bid(instance, share))


def instance_of_each_share(instances: Iterable[str], shares: int = SHARES) -> tuple[str, ...]:
    """Share -> the instance that serves it."""
    bidders = tuple(instances)
    return tuple(winner(bidders, share) for share in range(shares))
