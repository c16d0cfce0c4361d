"""What ``up`` asks the supervisor to build."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """The request of ``up``.

    ``raw`` is the content of the topology file ``file``; ``name`` None: the topology's own; ``uid`` the
    user outside; ``check``: probe all pairs before the lab counts as up. ``apps``: the Ryu apps that control
    all switches, as ``topologies.model.applications.Application`` has them; empty: as the file says.
    """

    file: str
    raw: bytes
    name: str | None
    uid: int
    datapath: str = "auto"
    check: bool = True
    apps: tuple[str, ...] = ()
