"""What a flow is there for: a value that counters, staged updates and a packet's trace read.

The compiler knows it when it makes the flow; to find it out again from match fields is to guess.
``text`` says it to people.  An origin is no part of what a flow does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

Same = TypeVar("Same", bound="Origin")


@dataclass(frozen=True)
class Origin:
    """Anything that nobody asks about by its kind."""

    text: str = ""

    def noted(self: Same, note: str) -> Same:
        """The same, with something added to its text."""
        return replace(self, text=f"{self.text}{note}")


@dataclass(frozen=True)
class Host(Origin):
    """Takes what a station sends, in table CLASSIFY: ``port`` and ``mac`` are its own."""

    port: int = 0
    mac: int = 0


@dataclass(frozen=True)
class Probe(Origin):
    """Takes the probes that come out of an inline function's instance, at ``port``."""

    port: int = 0


@dataclass(frozen=True)
class Return(Origin):
    """Says how frames go on that come out of an inline function's instance, at ``port``."""

    port: int = 0


@dataclass(frozen=True)
class Refused(Origin):
    """Takes, before all others, what an instance may not send, and the fragments that wait for their first;
    at ``port``."""

    port: int = 0


@dataclass(frozen=True)
class Classified(Origin):
    """A chain's classifier takes frames: they go to the hop of this number."""

    hop: int = 0


@dataclass(frozen=True)
class AtHop(Origin):
    """What is done with frames at a hop, in table STEER.

    ``first``: a frame meets exactly one of these when it gets to the hop; later it is looked up again, with
    its share known, or its connection.
    """

    hop: int = 0
    first: bool = False


@dataclass(frozen=True)
class Spreading(AtHop):
    """At a hop of several instances: a connection gets its share, by which it is looked up again."""


@dataclass(frozen=True)
class Into(AtHop):
    """At a hop: into an instance by its ``port``; if there is a ``share`` (as in SHARE), only its frames."""

    port: int = 0
    share: int | None = None


@dataclass(frozen=True)
class Away(AtHop):
    """At a hop of another switch: tagged, and on the way there."""


@dataclass(frozen=True)
class Tunnelled(Origin):
    """Through a tunnel or to an uplink, in a tunnel switch: to the station of this MAC address in a network
    (its number)."""

    network: int = 0
    mac: int = 0


@dataclass(frozen=True)
class Flooded(Origin):
    """To all members of a network (its number)."""

    network: int = 0
