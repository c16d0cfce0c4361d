"""What a verification says, as values: properties that are proven, and packets that refute others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from topologies.model.places import Entity
from topologies.model.topology import Port

DELIVERY = "every allowed pair reaches each other"
REFUSAL = "what the file forbids does not pass"
ISOLATION = "networks are isolated"
CHAINS = "chains are visited in order, in both directions"
TRANSLATED = "what is translated arrives, and answers come back from the address that was asked"
ADDRESSES = "every address is resolved"
LOOPS = "no forwarding loop"
HOLES = "no black hole"
INTACT = "frames arrive as they were sent"
KEYS = "no two flows of one key"
OVERLAPS = "no packet has two flows of equal priority"
WATCHED = "each bucket watches the port that it sends by"
SHADOWED = "no flow is hidden by others"
RULES = "no firewall rule is hidden by others"
PROPERTIES = (
    DELIVERY, TRANSLATED, REFUSAL, ISOLATION, CHAINS, ADDRESSES, LOOPS, HOLES, INTACT, KEYS, OVERLAPS,
    WATCHED, SHADOWED, RULES,
)  # fmt: skip
"""In the order in which a report has them."""


class Witness(NamedTuple):
    """A packet that refutes something: fields (names as in flows) of a frame that enters at ``at``, when the
    links ``cut`` are dead. ``converged``: the controller has answered the cut already."""

    frame: tuple[tuple[str, int], ...]
    at: Port
    cut: tuple[str, ...] = ()
    converged: bool = False


class Finding(NamedTuple):
    """``property``: what is refuted. ``what`` happens; ``expected`` instead. ``entity``: of the file, nearest
    to the reason. ``witness``: None where no packet is needed to see it."""

    property: str
    what: str
    expected: str = ""
    entity: Entity | None = None
    witness: Witness | None = None
    warning: bool = False

    def key(self) -> tuple[object, ...]:
        """Equal for findings that say the same."""
        return self.property, self.what, self.entity


@dataclass
class Report:
    """``checked``: property -> how many cases were proven or refuted. ``outside``: what the model doesn't
    have, in words. ``unprotected``: pairs for which the data plane has no repair when a link is cut, by link:
    they wait for the controller. ``cuts``: how many sets of links are to be cut; ``cuts_done``: how many
    were. ``stopped``: somebody had no more time."""

    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    unprotected: dict[str, int] = field(default_factory=dict)
    repaired: int = 0
    classes: int = 0
    states: int = 0
    conditions: int = 0
    cuts: int = 0
    cuts_done: int = 0
    stopped: bool = False

    @property
    def proven(self) -> bool:
        """Whether nothing is refuted."""
        return not any(not finding.warning for finding in self.findings)

    def count(self, name: str, number: int = 1) -> None:
        """More cases of a property were decided."""
        self.checked[name] = self.checked.get(name, 0) + number

    def refuted(self, name: str) -> bool:
        """Whether a property is refuted."""
        return any(finding.property == name and not finding.warning for finding in self.findings)
