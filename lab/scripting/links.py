"""Links and switches of a lab: cut and repaired, switched off and on."""

from __future__ import annotations

from urllib.parse import quote

from lab.access.client import Client
from lab.messages.lab import FlowState, GroupState, LinkChange
from lab.scripting.tables import Rows

FLOW_COLUMNS = ("switch", "table", "priority", "match", "actions", "packets", "entity")


class Link:
    """A link between switches, in the underlay, or from a host to its switch."""

    def __init__(self, lab: str, name: str) -> None:
        self.name = name
        self._lab = lab

    def down(self) -> LinkChange:
        """Cut it. From now on, no packet passes. Raises Failure."""
        return self._set(False)

    def up(self) -> LinkChange:
        """Repair it. Raises Failure."""
        return self._set(True)

    @property
    def is_up(self) -> bool:
        """Whether it is not cut."""
        states: dict[str, bool] = Client(self._lab).get("/links")
        return states[self.name]

    def __repr__(self) -> str:
        return f"<link {self.name} of lab {self._lab}>"

    def _set(self, up: bool) -> LinkChange:
        change: LinkChange = Client(self._lab).post(f"/links/{quote(self.name, safe='')}", {"up": up})
        return change


class Switch:
    """A switch of a lab."""

    def __init__(self, lab: str, name: str) -> None:
        self.name = name
        self._lab = lab

    def down(self) -> LinkChange:
        """Switch it off, with all its links. Raises Failure."""
        return self._set(False)

    def up(self) -> LinkChange:
        """Switch it on again. Raises Failure."""
        return self._set(True)

    def flows(self) -> Rows[FlowState]:
        """Its flows with counters, reasons, and the lines of the topology file that they come from."""
        path = f"/flows?switch={quote(self.name, safe='')}"
        return Rows(Client(self._lab).get(path), FLOW_COLUMNS)

    def groups(self) -> list[GroupState]:
        """Its groups with their buckets."""
        groups: list[GroupState] = Client(self._lab).get(f"/groups?switch={quote(self.name, safe='')}")
        return groups

    def __repr__(self) -> str:
        return f"<switch {self.name} of lab {self._lab}>"

    def _set(self, up: bool) -> LinkChange:
        change: LinkChange = Client(self._lab).post(f"/switches/{quote(self.name, safe='')}", {"up": up})
        return change
