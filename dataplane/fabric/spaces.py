"""A lab's network namespaces by their file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dataplane.fabric import deafness
from dataplane.hosts import congestion, users
from dataplane.ovs.datapaths import Datapath
from dataplane.plan.pieces import EndPlan, SpaceKind
from dataplane.sandbox import namespaces
from dataplane.sandbox.namespaces import Namespace

CROWD = 64
"""A lab with more namespaces has hosts that say less by themselves."""


class Spaces(Mapping[str, Namespace]):
    """The namespaces by file name. They stay open until ``close``.

    ``domains``: the file names of those that switches are in; these forward with the ``datapath``.
    """

    def __init__(self, domains: Iterable[str], datapath: Datapath) -> None:
        self.domains = tuple(domains)
        self._datapath = datapath
        self.heard: set[str] = set()
        """Namespaces whose own IP stack receives tenants' frames, because this kernel can't drop them
        before."""
        self._spaces: dict[str, Namespace] = {}
        self._host_users: int | None = None

    def __getitem__(self, netns: str) -> Namespace:
        return self._spaces[netns]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spaces)

    def __len__(self) -> int:
        return len(self._spaces)

    def make_domains(self) -> None:
        """Make the namespaces that switches are in."""
        self._spaces |= namespaces.create(self.domains, namespaces.DEAF)

    def make_underlay(self, names: Sequence[str]) -> None:
        """Make the namespaces of the underlay's nodes."""
        self._spaces |= namespaces.create(names, namespaces.QUIET)

    def make(self, kinds: Mapping[str, SpaceKind]) -> None:
        """Make the namespaces of hosts and functions; ``kinds`` by file name. Root of a host has capabilities
        in the hosts' namespaces only."""
        by_kind = names_by_kind(kinds)
        if self._host_users is None and by_kind.keys() - {"quiet"}:
            self._host_users = users.create()
        for kind, names in by_kind.items():
            if kind == "quiet":
                quiet = namespaces.create(names, namespaces.DEAF)
                self.heard |= {name for name, space in quiet.items() if not deafness.close(space)}
                self._spaces |= quiet
            else:
                many = len(self._spaces) + len(names)
                settings = namespaces.ATTACHED if kind == "attached" else of_hosts(many)
                settings = {**(settings or {}), **(namespaces.ROUTING if kind == "router" else {})}
                settings = {congestion.SETTING: congestion.usual(), **settings}
                self._spaces |= namespaces.create(names, settings, owner=self._host_users)

    def remove(self, netns: str) -> None:
        """Remove a namespace, if there is one of this name, and end the processes in it."""
        space = self._spaces.pop(netns, None)
        if space is not None:
            namespaces.remove(space)

    def deafen_ports(self, ends: Iterable[EndPlan]) -> None:
        """Keep frames that come in at a domain's switch ports from the IP stack of its namespace."""
        by_netns: dict[str, list[str]] = {}
        for end in ends:
            if end.netns in self.domains:
                by_netns.setdefault(end.netns, []).append(end.device)
        for netns, devices in by_netns.items():
            if not self.deafen(netns, devices):
                self.heard.add(netns)

    def deafen(self, netns: str, devices: Sequence[str]) -> bool:
        """Keep what comes in at these switch ports from the IP stack of their namespace. False: this kernel
        can't.

        A datapath that takes the frames itself leaves nothing to drop, and a drop would take them from it.
        """
        return self._datapath.takes_frames or deafness.deafen(self._spaces[netns], devices)

    def close(self) -> None:
        """Close all descriptors. The namespaces end with the sandbox."""
        for space in self._spaces.values():
            space.close()
        self._spaces = {}


def names_by_kind(kinds: Mapping[str, SpaceKind]) -> dict[SpaceKind, list[str]]:
    """The namespaces of each kind, in one walk over all."""
    by_kind: dict[SpaceKind, list[str]] = {}
    for name, kind in kinds.items():
        by_kind.setdefault(kind, []).append(name)
    return by_kind


def of_hosts(namespaces_in_all: int) -> Mapping[str, str] | None:
    """The kernel parameters of hosts in a lab with so many namespaces; None: the kernel's own."""
    return namespaces.IN_A_CROWD if namespaces_in_all > CROWD else None
