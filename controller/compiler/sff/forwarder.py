"""Table STEER: the forwarder of service chains (RFC 7665's SFF), and how frames get to it and away from it.

A frame at STEER has the number of its hop in HOP and its network's in NETWORK.  Where the hop's function is
on another switch it is tagged and leaves through FORWARD; where it is here it goes into
an instance, or into what ``controller.compiler.sff.flow_hops`` makes of a function that the switch does
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from typing_extensions import assert_never

from controller.compiler.fragments import FRAGMENT, gathers, place_zones
from controller.compiler.rendezvous import SHARES, SPREAD, instance_of_each_share
from controller.compiler.sff.encapsulation import Tag, tags
from controller.compiler.sff.flow_hops import flow_hop, once
from controller.compiler.sff.returns import return_flows, senders_elsewhere
from controller.compiler.stations import Station
from controller.compiler.tracking import TRACKED
from controller.flow.builders import HOP, NETWORK, PAST, SHARE, THROUGH, Priority, flow, miss
from controller.flow.tables import (
    NO_PORT,
    Action,
    Field,
    Flow,
    Group,
    Meter,
    Output,
    Resubmit,
    SetField,
    Spread,
    Table,
)
from controller.origin import AtHop, Away, Into, Spreading
from topologies.model.attachment import Flows, Inline, Instance, Scalable, Tap
from topologies.model.functions import Function
from topologies.model.overlay import Overlay, membership, reach
from topologies.model.places import Entity
from topologies.model.service_paths import OUT, Hop, Service, service, steered
from topologies.model.topology import Topology
from topologies.model.transit import senders
from wire.ethertype import IPV4, IPV6, NSH

ARRIVED = 600
"""Priority in CLASSIFY of frames that are here for a hop: above those that only pass."""
FRAGMENTS = Priority.KNOWN + 1
"""Priority in STEER of fragments for which an instance is to be chosen; below that of those that have one."""
_MISS = miss(Table.STEER, None, "no such hop: dropped")
GUARDS = (
    flow(
        Table.CLASSIFY,
        Priority.GUARD,
        (Field("eth_type", NSH),),
        why="NSH from a host would pass for a chain's: dropped",
    ),
)
"""In CLASSIFY of every switch of a lab with hops, below the flows of links."""


@dataclass(frozen=True)
class Steering:
    """A lab's chains as the compiler looks at them. ``numbers``: of networks. ``failed``: of instances and
    backends, by name. ``senders``: hop number -> switches that its frames start from. ``zones``: of the
    places that gather fragments."""

    topology: Topology
    service: Service
    numbers: Mapping[str, int]
    failed: frozenset[str]
    functions: Mapping[str, Function]
    tags: Mapping[int, Tag]
    senders: Mapping[int, set[str]]
    zones: Mapping[str, int]

    def leaving(self, switch: str) -> frozenset[int]:
        """Numbers of the networks in which frames that are out of a chain go on from this switch."""
        return frozenset(
            self.numbers[network]
            for hop in self.service.hops.values()
            if hop.switch == switch and not hop.ends
            for network in (hop.leaves, hop.network)
        )

    def balanced(self, switch: str) -> frozenset[int]:
        """Of these, the networks in which load balancers may take them still."""
        return frozenset(
            self.numbers[hop.leaves]
            for hop in self.service.hops.values()
            if hop.switch == switch and hop.balanced
        )

    def travelling(self, switch: str) -> list[Tag]:
        """Tags of the hops at this switch that frames come to from other switches."""
        return [
            self.tags[number]
            for number, hop in sorted(self.service.hops.items())
            if hop.switch == switch and self.senders[number] - {switch}
        ]


def steering(topology: Topology, numbers: Mapping[str, int], failed: frozenset[str]) -> Steering:
    """Derive it all; without functions it is empty, and so are all tables that are made of it."""
    paths = service(topology)
    return Steering(
        topology,
        paths,
        numbers,
        failed,
        {function.name: function for function in topology.functions},
        tags(topology, paths),
        senders(topology, membership(topology), reach(topology)) if paths.hops else {},
        place_zones(topology, paths),
    )


def live(function: Function, failed: frozenset[str]) -> tuple[Instance, ...]:
    """The instances that work."""
    return tuple(instance for instance in function.instances if instance.name not in failed)


def onward(hop: Hop, numbers: Mapping[str, int]) -> tuple[tuple[Action, ...], Table | None]:
    """How a frame in STEER goes on from a hop that is done: actions, and where to."""
    changed = hop.leaves != hop.network
    network = (SetField(NETWORK, numbers[hop.leaves]),) if changed else ()
    if hop.balanced:
        return (*network, SetField(HOP, 0), SetField(PAST, THROUGH), Resubmit(Table.CHAIN)), None
    if hop.next == OUT:
        return (*network, SetField(HOP, 0)), Table.RESOLVE
    return (*network, SetField(HOP, hop.next), Resubmit(Table.STEER)), None


def steer(
    chains: Steering, switch: str, entrances: Iterable[int], stations: Sequence[Station]
) -> tuple[list[Flow], list[Flow], list[Group], list[Meter]]:
    """Of one switch: CLASSIFY's flows for what arrives and returns, then STEER; groups; meters.

    ``entrances``: ports that frames for hops may come in by: of links, and uplinks of transports.
    """
    if not chains.service.hops:
        return [], [], [], []
    classify = [
        *_arrivals(chains, switch, sorted(entrances)),
        *return_flows(chains.topology, chains.service, switch, chains.numbers, stations, chains.zones),
    ]
    flows: list[Flow] = []
    groups: dict[int, Group] = {}
    meters: dict[int, Meter] = {}
    for number, hop in sorted(chains.service.hops.items()):
        if hop.switch != switch:
            if switch in chains.senders[number]:
                flows.append(_to_other_switch(hop, chains.tags[number]))
            continue
        function = chains.functions[hop.function]
        match steered(function):
            case Flows():
                hop_flows, hop_groups, hop_meters = flow_hop(
                    chains.topology, function, hop, chains.numbers, chains.failed
                )
                # hops of one function share what does not depend on the hop
                flows += [_with_hop(entry, hop) for entry in hop_flows]
                groups |= {group.id: group for group in hop_groups}
                meters |= {meter.id: meter for meter in hop_meters}
            case Inline() | Tap() as attachment:
                flows += _to_instances(hop, attachment, live(function, chains.failed), chains)
                for mac in senders_elsewhere(chains.topology, chains.service, hop, chains.numbers, stations):
                    match = _at_hop(hop, Field("eth_src", mac))
                    why = AtHop(
                        f"{_hop_name(hop)} would take it for a frame of another network: dropped",
                        hop.number,
                        first=True,
                        entity=hop.entity,
                    )
                    flows.append(flow(Table.STEER, Priority.GUARD, match, why=why))
            case never:
                assert_never(never)
    return classify, [*once(flows), _MISS] if flows else [], list(groups.values()), list(meters.values())


def _with_hop(entry: Flow, hop: Hop) -> Flow:
    """A flow of a function that is flows; hops of one function share those that do not match their number."""
    if Field(HOP, hop.number) not in entry.match:
        return entry
    entity = entry.origin.entity or Entity("function", hop.function)
    return replace(entry, origin=AtHop(entry.why, hop.number, _meets_arriving_frames(entry), entity=entity))


def _meets_arriving_frames(entry: Flow) -> bool:
    """Whether a frame meets the flow when it gets to the hop, not when it comes back tracked or gathered."""
    if gathers(entry) or entry.priority <= Priority.MISS:
        return False
    for field in entry.match:
        if field.name == SHARE or (field.name == "ct_state" and field.value & TRACKED):
            return False
        if field.name == "ct_state" and field.mask is not None and not field.mask & TRACKED:
            return False
    return True


def _hop_name(hop: Hop) -> str:
    if hop.ends:
        return f"copy for {hop.function}"
    return f"chain {hop.chain}{'' if hop.forward else ', the way back'}: {hop.function}"


def _at_hop(hop: Hop, *more: Field) -> tuple[Field, ...]:
    return (Field(HOP, hop.number), *more)


def _to_other_switch(hop: Hop, tag: Tag) -> Flow:
    done = (*tag.put_on(), SetField(NETWORK, 0))
    why = Away(f"{_hop_name(hop)}, at {hop.switch}", hop.number, entity=hop.entity)
    return flow(Table.STEER, Priority.KNOWN, _at_hop(hop), done, Table.FORWARD, why=why)


def _arrivals(chains: Steering, switch: str, entrances: Sequence[int]) -> list[Flow]:
    """A frame that comes for a hop here is as if it had just been sent here: on no detour, and not from
    that port, by which it may have to go on (OpenFlow 1.5.1, 4.5, sends nothing back by itself)."""
    flows = []
    for tag in chains.travelling(switch):
        hop = chains.service.hops[tag.hop]
        network = 0 if hop.ends else chains.numbers[hop.network]
        done = (
            *tag.take_off(),
            SetField("in_port", NO_PORT),
            SetField(HOP, hop.number),
            SetField(NETWORK, network),
        )
        for port in entrances:
            match = (Field("in_port", port), *tag.match())
            why = f"{_hop_name(hop)}, which is here"
            flows.append(flow(Table.CLASSIFY, ARRIVED, match, done, Table.STEER, why=why, entity=hop.entity))
    return flows


def _to_instances(
    hop: Hop, attachment: Scalable, working: Sequence[Instance], chains: Steering
) -> list[Flow]:
    name, numbers, entity = _hop_name(hop), chains.numbers, hop.entity
    if not working:
        if hop.ends or not hop.open:
            why = AtHop(f"{name}: no instance works: dropped", hop.number, first=True, entity=entity)
            return [flow(Table.STEER, Priority.KNOWN, _at_hop(hop), why=why)]
        actions, goto = onward(hop, numbers)
        why = AtHop(f"{name}: no instance works: passed by", hop.number, first=True, entity=entity)
        return [flow(Table.STEER, Priority.KNOWN, _at_hop(hop), actions, goto, why=why)]
    if len(attachment.instances) == 1:
        return [_into_instance(hop, attachment, working[0], numbers)]
    flows = [
        flow(
            Table.STEER,
            Priority.KNOWN,
            _at_hop(hop),
            (Spread(SHARE, SHARES), SetField(SHARE, SPREAD, SPREAD), Resubmit(Table.STEER)),
            why=Spreading(f"{name}: which of its instances", hop.number, first=True, entity=entity),
        )
    ]
    for kind in (IPV4, IPV6):
        match = _at_hop(hop, Field("eth_type", kind), FRAGMENT)
        done = (Spread(SHARE, SHARES, ports=False), SetField(SHARE, SPREAD, SPREAD), Resubmit(Table.STEER))
        why = AtHop(
            f"{name}: which of its instances, for fragments by their addresses alone",
            hop.number,
            first=True,
            entity=entity,
        )
        flows.append(flow(Table.STEER, FRAGMENTS, match, done, why=why))
    by_name = {instance.name: instance for instance in working}
    for share, winner in enumerate(instance_of_each_share(by_name)):
        flows.append(_into_instance(hop, attachment, by_name[winner], numbers, share))
    return flows


def _into_instance(
    hop: Hop, attachment: Scalable, instance: Instance, numbers: Mapping[str, int], share: int | None = None
) -> Flow:
    """Into one instance: by its ``in``, or on the way back by its ``out``; a tap's frame goes on at once."""
    port = instance.entrance(hop.forward)
    actions: tuple[Action, ...] = (Output(port.number),)
    goto = None
    if isinstance(attachment, Tap) and not hop.ends:
        onward_actions, goto = onward(hop, numbers)
        actions = (*actions, *(() if share is None else (SetField(SHARE, 0),)), *onward_actions)
    match = _at_hop(hop) if share is None else _at_hop(hop, Field(SHARE, SPREAD | share))
    spread = None if share is None else SPREAD | share
    text = f"{_hop_name(hop)} ({instance.name})"
    why = Into(text, hop.number, share is None, port.number, spread, entity=hop.entity)
    priority = Priority.KNOWN if share is None else Priority.SPECIAL
    return flow(Table.STEER, priority, match, actions, goto, why=why)


def arrival_ports(overlay: Overlay, switch: str) -> set[int]:
    """Ports of this switch by which frames for its hops come in from other islands."""
    return {
        uplink.near.number
        for transport in overlay.transports
        for uplink in transport.uplinks
        if uplink.near.switch == switch and switch in transport.hops.values()
    }


def transport_ports(overlay: Overlay, switch: str) -> dict[int, int]:
    """Hop number -> the port of this switch towards its domain's tunnel switch, by which frames for it go."""
    return {
        hop: uplink.near.number
        for transport in overlay.transports
        for uplink in transport.uplinks
        if uplink.near.switch == switch
        for hop in transport.hops
    }
