"""A rule after parsing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nfv.ids.decode.packet import Packet
from nfv.ids.language.header import Addresses, Ports
from nfv.ids.match.ops import Op

PacketTest = Callable[[Packet], bool]

TO_SERVER, TO_CLIENT = 1, 2


@dataclass(slots=True)
class BufferPart:
    """Conditions on one buffer: its name, its transforms, the conditions."""

    name: str
    transforms: tuple[tuple[str, str], ...] = ()
    ops: list[Op] = field(default_factory=list)
    absent: str = ""

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The common key of parts that search in the same bytes."""
        return self.name, self.transforms


@dataclass(slots=True)
class Threshold:
    """``threshold`` and ``detection_filter`` (user guide "Thresholding Keywords")."""

    kind: str
    track: str
    count: int
    seconds: float
    unique_on: str = ""


@dataclass(slots=True)
class Bit:
    """One use of flowbits or xbits: ``names`` has more than one for ``isset,a|b``."""

    command: str
    names: tuple[str, ...]
    track: str = "flow"
    expire: float = 0.0


@dataclass(slots=True)
class Rule:
    """A rule that is supported completely."""

    action: str
    protocol: str
    protocols: frozenset[int] | None  # None: every IP protocol
    version: int = 0  # 4 or 6 where the protocol says so
    app_protos: tuple[str, ...] = ()
    source: Addresses | None = None
    source_ports: Ports | None = None
    destination: Addresses | None = None
    destination_ports: Ports | None = None
    both_ways: bool = False
    sid: int = 0
    gid: int = 1
    rev: int = 0
    msg: str = ""
    classtype: str = ""
    category: str = ""
    priority: int = 3
    has_priority: bool = False
    references: list[str] = field(default_factory=list)
    metadata: dict[str, list[str]] = field(default_factory=dict)
    target: str = ""
    noalert: bool = False
    directions: int = TO_SERVER | TO_CLIENT
    flow: frozenset[str] = frozenset()
    tests: list[PacketTest] = field(default_factory=list)
    buffers: list[BufferPart] = field(default_factory=list)
    tx_tests: list[tuple[str, int, Callable[[Any], bool]]] = field(default_factory=list)
    bits: list[Bit] = field(default_factory=list)
    xbits: list[Bit] = field(default_factory=list)
    ints: list[tuple[str, str, int | str]] = field(default_factory=list)
    threshold: Threshold | None = None
    detection_filter: Threshold | None = None
    app_layer: list[tuple[str, bool, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    app_events: list[str] = field(default_factory=list)
    needs_packet: bool = False
    needs_stream: bool = False
    real_packet: bool = False
    file: str = ""
    line: int = 0
    text: str = ""
    order: int = 0
    # made by the loader from the above
    payload: list[Op] = field(default_factory=list)
    header_parts: list[BufferPart] = field(default_factory=list)
    tx_parts: list[BufferPart] = field(default_factory=list)
    flow_scope: bool = False
    ip_only: bool = False
    proto_only: bool = False
    fast: Any = None

    @property
    def stateful(self) -> bool:
        """Whether it is evaluated for each transaction of an application protocol."""
        return bool(self.tx_parts or self.tx_tests or self.app_events)
