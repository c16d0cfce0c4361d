"""Broadcast and multicast of a network, to all its members and nowhere else, each exactly once. Pure.

Inside an island (switches that links join) the frames of a network follow a spanning tree: the shortest
paths from its first switch to its others, cut back to what they need.  Each switch of the tree has one group,
with a bucket for each member here and for each link of the tree.  OpenFlow sends no frame out of the port
that it came in by (1.5.1, 4.5), so a copy goes away from its sender along the tree.  A network that crosses
islands has no tree: its frames go to the tunnel switches, which know where its members are
(``controller.compiler.tunnels``).

On links a frame carries an 802.1Q tag with the number of its network and of the tree.  While switches change
from one tree to another, those of both trees together may have a loop; but a switch takes only frames with
its own tree's number, so each frame stays in one tree.  Tags of chains have priority (PCP) 0, and these have
another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from controller.compiler.paths import UNREACHED, Graph
from controller.flow.builders import NETWORK, OUT_PORT, Priority, flow
from controller.flow.tables import (
    Action,
    Bucket,
    Field,
    Flow,
    Group,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Table,
    ToGroup,
)
from controller.origin import Flooded, Origin
from topologies.model.places import Entity
from wire.mac import GROUP_BIT

FLOOD = 0x40000000
"""Group number of a network's members, plus the network's number."""
ON_A_TREE = 700
"""Priority in CLASSIFY of frames that follow a tree: above those that are here for a hop."""
_PRESENT = 0x1000
_VIDS, _PRIORITIES = 4094, 7
_LEAST_SLOTS = 64


class Tree(NamedTuple):
    """The trees of one network, one in each part of the graph that has members. ``ports``: switch's index ->
    its ports of links of the tree, for all switches of the tree. ``tag``: VLAN identifier and priority on
    links."""

    ports: Mapping[int, tuple[int, ...]]
    tag: tuple[int, int] = (0, 0)


class Member(NamedTuple):
    """A port of a member. ``firewalled``: a frame leaves by it only through table ADMIT."""

    port: int
    firewalled: bool = False


def group_frames(network: int) -> tuple[Field, ...]:
    """The match of frames of a network to a group address."""
    return Field(NETWORK, network), Field("eth_dst", GROUP_BIT, GROUP_BIT)


@lru_cache(maxsize=4096)
def asked_for(number: int, network: str) -> Flow:
    """RESOLVE's flow for what no table answers: on to all members."""
    return flow(
        Table.RESOLVE,
        Priority.FLOOD,
        group_frames(number),
        goto=Table.FORWARD,
        why=f"broadcast or multicast in network {network}",
        entity=Entity("network", network),
    )


@lru_cache(maxsize=4096)
def to_all(number: int, network: str) -> Flow:
    """FORWARD's flow to all members."""
    return flow(
        Table.FORWARD,
        Priority.FLOOD,
        group_frames(number),
        (ToGroup(FLOOD + number),),
        why=Flooded(
            f"broadcast or multicast: to all members of network {network}",
            number,
            entity=Entity("network", network),
        ),
    )


def members_group(number: int, network: str, buckets: Iterable[Bucket]) -> Group:
    """The group of a switch that sends a copy to each of the network's members, or towards it."""
    origin = Origin(f"members of network {network}", entity=Entity("network", network))
    return Group(FLOOD + number, "all", tuple(buckets), origin)


def to_member(member: Member) -> Bucket:
    """A copy for a host port of this switch."""
    if not member.firewalled:
        return Bucket((Output(member.port),))
    return Bucket((SetField(OUT_PORT, member.port), Resubmit(Table.ADMIT)))


class Broadcasts(NamedTuple):
    """The networks that have trees. ``members``: network's number -> switch's index -> ports there.
    ``networks``: the names, by number less one. ``chained``: the lab has service chains, whose tags are VLAN
    tags, too."""

    members: Mapping[int, Mapping[int, Sequence[Member]]]
    networks: Sequence[str]
    chained: bool = False

    def trees(self, graph: Graph) -> dict[int, Tree]:
        """Each network's tree along the links of ``graph``.

        A link outside of a network's tree is no reason for the tree: the same comes out without the link.
        """
        distances: dict[int, list[int]] = {}
        return {
            number: self._tree(number, sorted(at), graph, distances) for number, at in self.members.items()
        }

    def _tree(
        self, number: int, switches: Sequence[int], graph: Graph, distances: dict[int, list[int]]
    ) -> Tree:
        ports: dict[int, set[int]] = {switch: set() for switch in switches}
        waiting = list(switches)
        while len(waiting) > 1:
            root = waiting[0]
            if root not in distances:
                distances[root] = graph.distances(root)
            distance = distances[root]
            joined = {root}
            for switch in waiting:
                while switch not in joined and distance[switch] < UNREACHED:
                    joined.add(switch)
                    switch = _join(graph, switch, root, distance, ports)
            waiting = [switch for switch in waiting if distance[switch] >= UNREACHED]
        by_switch = {switch: tuple(sorted(some)) for switch, some in sorted(ports.items())}
        return Tree(by_switch, self._tag(number, by_switch, graph))

    def _tag(self, number: int, ports: Mapping[int, Sequence[int]], graph: Graph) -> tuple[int, int]:
        slots = max(_LEAST_SLOTS, 1 << len(self.networks).bit_length())
        said = [(graph.names[switch], some) for switch, some in ports.items() if some]
        tree = int.from_bytes(blake2b(repr(said).encode(), digest_size=4).digest(), "big")
        number += tree % (_VIDS * _PRIORITIES // slots) * slots - 1
        return number % _VIDS + 1, number // _VIDS + 1

    def entering(self, numbers: Iterable[int]) -> list[Flow]:
        """RESOLVE's flows of a switch that has hosts of the networks ``numbers``."""
        return [
            asked_for(number, self.networks[number - 1])
            for number in sorted(numbers)
            if number in self.members
        ]

    def flows(self, switch: int, trees: Mapping[int, Tree]) -> tuple[list[Flow], list[Group]]:
        """What depends on the trees at one switch: CLASSIFY's and FORWARD's flows, and groups."""
        arriving: list[Flow] = []
        forward: list[Flow] = []
        groups: list[Group] = []
        for number, tree in sorted(trees.items()):
            if switch not in tree.ports:
                continue
            name, links = self.networks[number - 1], tree.ports[switch]
            arriving += [_arriving(port, number, name, tree.tag) for port in links]
            forward.append(to_all(number, name))
            buckets = [to_member(member) for member in self.members[number].get(switch, ())]
            buckets += [Bucket((*_put_on(tree.tag), Output(port))) for port in links]
            groups.append(members_group(number, name, buckets))
        return [*arriving, *self._others(), *forward], groups

    def _others(self) -> list[Flow]:
        """Frames of trees that this switch is not in may not pass for frames on their way to a hop."""
        if not self.chained:
            return []
        why = "broadcast or multicast that follows another tree: dropped"
        return [
            flow(
                Table.CLASSIFY,
                ON_A_TREE - 1,
                (Field("vlan_vid", _PRESENT, _PRESENT), Field("vlan_pcp", priority)),
                why=why,
            )
            for priority in range(1, _PRIORITIES + 1)
        ]


def broadcasts(
    members: Mapping[int, Mapping[int, Sequence[Member]]], networks: Sequence[str], chained: bool
) -> Broadcasts:
    """``members``: of the networks that don't cross. Who is alone in its network has nobody to send to."""
    several = {
        number: at for number, at in sorted(members.items()) if sum(len(ports) for ports in at.values()) > 1
    }
    return Broadcasts(several, networks, chained)


def _join(graph: Graph, switch: int, root: int, distance: list[int], ports: dict[int, set[int]]) -> int:
    """Add the link from a switch to the next one towards the root; returns that one."""
    parent, ours = graph.hops(switch, root, distance)[0]
    theirs = next(near.theirs for near in graph.neighbours[switch] if near.switch == parent)
    ports.setdefault(switch, set()).add(ours[0])
    ports.setdefault(parent, set()).add(theirs[0])
    return parent


def _put_on(tag: tuple[int, int]) -> tuple[Action, ...]:
    vid, priority = tag
    return PushVlan(vid), SetField("vlan_pcp", priority)


def _arriving(port: int, number: int, network: str, tag: tuple[int, int]) -> Flow:
    vid, priority = tag
    match = (
        Field("in_port", port),
        Field("eth_dst", GROUP_BIT, GROUP_BIT),
        Field("vlan_vid", _PRESENT | vid),
        Field("vlan_pcp", priority),
    )
    return flow(
        Table.CLASSIFY,
        ON_A_TREE,
        match,
        (PopVlan(), SetField(NETWORK, number)),
        Table.FORWARD,
        why=f"broadcast or multicast in network {network}, along its tree",
        entity=Entity("network", network),
    )
