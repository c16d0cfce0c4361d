"""What checks send, and what is seen of it: values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from topologies.model.checks import Protocol

AnswerKind = Literal["reply", "syn-ack", "reset", "icmp"]
Sort = Literal["addressed", "ARP broadcast", "broadcast", "unknown MAC"]
"""How a request is addressed: to its target; an ARP request for the target's address; an echo request to all
(RFC 919; of IPv6 to all nodes, RFC 4291, 2.7.1); one to the target's address, at a MAC address that nobody
has."""


class Answer(NamedTuple):
    """What came back to the source. ``text``: the packet, decoded."""

    kind: AnswerKind
    text: str


class Sighting(NamedTuple):
    """A packet of a probe was seen at a watched point. ``when``: the kernel's time, in seconds. ``back``: it
    was an answer. ``vni``, ``outer``: of the tunnel that it was in, and the VTEPs' addresses."""

    when: float
    point: str
    back: bool
    vni: int | None = None
    outer: tuple[str, str] | None = None


@dataclass
class Outcome:
    """What was seen of one probe, in its last try.

    ``arrived``: the hosts at whose ports the request was seen. ``resolved``: whether there was an answer to
    ARP or neighbour discovery. ``packets``: all of its packets that were seen, decoded, the oldest first.
    ``request``: the packet that was sent, decoded. ``frame``: the same, as octets. ``error``: why it could
    not be tried. ``tries``: how many times. ``seconds``: from its first try on. ``sightings``: at
    watched points, in no order.
    """

    arrived: list[str] = field(default_factory=list)
    answer: Answer | None = None
    resolved: bool = True
    packets: list[str] = field(default_factory=list)
    request: str = ""
    frame: bytes = b""
    error: str = ""
    tries: int = 0
    seconds: float = 0.0
    satisfied: bool = False
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def silent(self) -> bool:
        """Nothing of it was seen anywhere."""
        return not self.arrived and self.answer is None


class Probe(NamedTuple):
    """A request to send. ``target``: a host, or a function that has an address. ``port``: 0 for ICMP.

    It is sent again until ``wants`` takes the outcome, or ``within`` seconds are over. ``resolve``: whether
    the source asks for the address first, as a host does. ``sort``: other than ``addressed`` only without
    ``resolve``.
    """

    source: str
    target: str
    family: int
    protocol: Protocol
    port: int
    within: float
    wants: Callable[[Outcome], bool]
    resolve: bool = True
    sort: Sort = "addressed"

    @property
    def words(self) -> str:
        """It in words, like ``h1 -> h2, TCP 80, IPv4``."""
        how = "ping" if self.protocol == "icmp" else f"{self.protocol.upper()} {self.port}"
        how = how if self.sort == "addressed" else self.sort
        return f"{self.source} -> {self.target}, {how}, IPv{self.family}"


@dataclass
class Signs:
    """Signs of life of a whole run: what proves that silence means something.

    ``reached``: hosts at whose ports a request arrived. ``left``: hosts of whose requests one arrived
    somewhere. ``resolved``: hosts that got an answer to ARP or neighbour discovery. ``unusable``: hosts
    without an interface, and why.
    """

    reached: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    unusable: dict[str, str] = field(default_factory=dict)
