"""What a flow is for: a value that counters, staged updates and a packet's trace read.

The compiler knows it when it makes the flow; match fields do not show it.  ``text`` says it to people.
``entity`` names what the topology file describes; its line is looked up in ``Topology.places`` when somebody
asks.  An origin does not change what a flow does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from topologies.model.places import Entity

Same = TypeVar("Same", bound="Origin")


@dataclass(frozen=True)
class Origin:
    """A flow that no code looks for by its kind.

    ``entity``: the entry of the topology file that is the nearest reason for it; None: no entry is, as for
    the table-miss entry. ``teaches``: the flow also gives copies of its frames to functions that join
    (``controller.update.teaching``).
    """

    text: str = ""
    entity: Entity | None = field(default=None, kw_only=True)
    teaches: bool = field(default=False, kw_only=True)

    def noted(self: Same, note: str) -> Same:
        """The same origin, with ``note`` added to its text."""
        return replace(self, text=f"{self.text}{note}")

    def teaching(self: Same, note: str = "") -> Same:
        """The same origin, of a flow that teaches."""
        return replace(self.noted(note), teaches=True)


@dataclass(frozen=True)
class Host(Origin):
    """Takes a station's frames, in table CLASSIFY: ``port`` and ``mac`` are the station's."""

    port: int = 0
    mac: int = 0


@dataclass(frozen=True)
class FromInstance(Origin):
    """Takes frames that come out of an inline function's instance, at ``port``."""

    port: int = 0


@dataclass(frozen=True)
class Probe(FromInstance):
    """Takes probes that come out of an instance."""


@dataclass(frozen=True)
class ByChain(Origin):
    """Takes packets by what a chain matches, or keeps them out of all chains by what a chain leaves out.

    Where such a flow sends the answer to a packet, an ICMP error about the packet goes, too."""


@dataclass(frozen=True)
class Return(FromInstance):
    """Sends on frames that come out of an instance."""


@dataclass(frozen=True)
class ReturnByChain(Return, ByChain):
    """Sends on the frames of one chain, where frames of several chains come out of ``port``."""


@dataclass(frozen=True)
class Refused(FromInstance):
    """Takes frames that an instance may not send, and fragments that wait for their first, before all other
    flows."""


@dataclass(frozen=True)
class Classified(ByChain):
    """Takes frames into a chain: they go to the hop of this number."""

    hop: int = 0


@dataclass(frozen=True)
class AtHop(Origin):
    """Takes frames at a hop, in table STEER.

    ``first``: of these flows a frame matches exactly one when it gets to the hop; it may be looked up again
    when its share or its connection is known.
    """

    hop: int = 0
    first: bool = False


@dataclass(frozen=True)
class Spreading(AtHop):
    """At a hop of several instances: gives a connection its share, and looks the frame up again."""


@dataclass(frozen=True)
class Into(AtHop):
    """At a hop: into an instance by its ``port``. ``share``: only frames of this share (as in SHARE)."""

    port: int = 0
    share: int | None = None


@dataclass(frozen=True)
class Away(AtHop):
    """At a hop of another switch: tags the frame, and sends it there."""


@dataclass(frozen=True)
class Tunnelled(Origin):
    """In a tunnel switch: into a tunnel or to an uplink, for the station of this MAC address in the network
    of this number."""

    network: int = 0
    mac: int = 0


@dataclass(frozen=True)
class Flooded(Origin):
    """To all members of the network of this number."""

    network: int = 0
