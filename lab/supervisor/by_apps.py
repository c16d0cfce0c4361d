"""``up --app``: a lab whose switches are all controlled by Ryu apps, whatever its file says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.failure import Exit, Failure
from topologies.edit import Impossible, controlled_by
from topologies.model.applications import BY_OPTION, Application

if TYPE_CHECKING:
    from topologies.model.topology import Topology


def controlled(topology: Topology, apps: Sequence[str], options: Sequence[str] = ()) -> Topology:
    """The same lab with these apps as the controller of all switches. Raises Failure when it can't be.

    ``options``: further words for ryu-manager.
    """
    try:
        return controlled_by(topology, Application(name=BY_OPTION, apps=tuple(apps), options=tuple(options)))
    except Impossible as error:
        raise Failure(error.what, error.remedy, Exit.USAGE) from None


def of(topology: Topology) -> Application | None:
    """The apps that control a lab because of ``up --app``; None: none do."""
    for application in topology.applications:
        if application.name == BY_OPTION and len(topology.applications) == 1:
            everywhere = all(s.controller == BY_OPTION for s in topology.switches if s.role == "switch")
            return application if everywhere else None
    return None
