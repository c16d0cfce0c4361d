"""What ``up`` asks the supervisor to build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Check = Literal["proof", "all", "none"]


@dataclass(frozen=True)
class Order:
    """The request of ``up``.

    ``raw`` is the content of the topology file ``file``; ``name`` None: the topology's own; ``uid`` the
    user outside; ``check``: what is done before the lab counts as up: ``proof``: all pairs are proven by
    computation, hosts and links by packets; ``all``: all pairs by packets; ``none``.
    ``apps``: the Ryu apps that control all switches, as ``topologies.model.applications.Application`` has
    them; empty: as the file says. ``app_options``: further words for ryu-manager.
    """

    file: str
    raw: bytes
    name: str | None
    uid: int
    datapath: str = "userspace"
    check: Check = "proof"
    apps: tuple[str, ...] = ()
    app_options: tuple[str, ...] = ()
