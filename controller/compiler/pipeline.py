"""The pipeline as data: which stages there are, in which order, and what each is made of. Pure.

A stage makes the flows of one table of one switch, and what belongs to them: groups, meters, and flows of
other tables that lead to it.  The pipeline tells each stage the next table: it leaves out a stage that has no
flows at a switch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from controller.compiler.arp_nd import EGRESS, resolve
from controller.compiler.chain_classifier import chain_table
from controller.compiler.chain_order import TO_CONTROLLER
from controller.compiler.fragments import fragment_table
from controller.compiler.functions.firewall import admitting, sending
from controller.compiler.ingress import announcements, classify, second_tags
from controller.compiler.mirror import mirror_table
from controller.compiler.route import route
from controller.compiler.sff.forwarder import GUARDS, arrival_ports, steer
from controller.compiler.source_guard import secure
from controller.compiler.tunnels import edge
from controller.compiler.view import SwitchView
from controller.flow.meters import TOLD_ERRORS
from controller.flow.tables import Flow, Group, Meter, Table, add_table


class Part(NamedTuple):
    """What a stage adds to a switch."""

    flows: Sequence[Flow] = ()
    groups: Sequence[Group] = ()
    meters: Sequence[Meter] = ()


class Stage(NamedTuple):
    """``compile`` makes the flows of ``table``, given a switch and the next table.

    ``on_the_way``: the stage before sends frames here; where the stage has no flows, they skip it. Other
    stages get frames from flows that name their table.
    """

    table: Table
    compile: Callable[[SwitchView, Table], Part]
    on_the_way: bool = False


def _ingress(here: SwitchView, after: Table) -> Part:
    guards = GUARDS if here.lab.chains.service.hops else ()
    claimants = {host.name for host in here.lab.topology.attached if host.allow_spoofing}
    own = (station for station in here.stations if station.name in claimants)
    tagged = {
        port for host in here.lab.topology.attached if host.trunk and (port := host.at).switch == here.name
    }
    guards = (*guards, *second_tags(sorted(port.number for port in tagged)))
    known = classify(here.trunks, here.access, here.stations, here.behind, here.free, after, guards)
    return Part([*known, *announcements(own, here.access, after)])


def _source_guard(here: SwitchView, after: Table) -> Part:
    if not here.access:
        return Part()
    lab = here.lab
    further = (
        station for station in lab.further if station.switch == here.name and station.name in lab.by_file
    )
    checked = (station for station in (*here.stations, *further) if station.port not in here.free)
    forwarded = lab.forwarded.get(here.name, {})
    return Part(secure(checked, after, here.exits, lab.inside if here.exits else (), forwarded))


def _firewall(here: SwitchView, after: Table) -> Part:
    if not here.firewalled:
        return Part()
    flows, meters = sending(here.lab.topology, here.firewalled, after)
    return Part(flows, (), meters)


def _mirror(here: SwitchView, after: Table) -> Part:
    lab = here.lab
    copies = lab.chains.service.copies
    return Part(
        mirror_table(here.networks, copies, lab.numbers, lab.stations, here.name, lab.gateways, after)
    )


def _chain(here: SwitchView, after: Table) -> Part:
    lab, chains = here.lab, here.lab.chains
    classified = here.networks | chains.balanced(here.name)
    entries, zones = chains.service.entries, chains.zones
    return Part(chain_table(classified, entries, lab.numbers, lab.gateways, lab.translators, zones))


def _steer(here: SwitchView, after: Table) -> Part:
    entrances = {*here.trunks, *arrival_ports(here.lab.overlay, here.name)}
    arriving, steered, groups, meters = steer(here.lab.chains, here.name, entrances, here.lab.stations)
    return Part([*arriving, *steered], groups, meters)


def _resolve(here: SwitchView, after: Table) -> Part:
    return Part(resolve(here.stations, here.lab.answers, here.passing) if here.passing else ())


def _route(here: SwitchView, after: Table) -> Part:
    return Part(route(here.passing, here.lab.routes) if here.passing else ())


def _forward(here: SwitchView, after: Table) -> Part:
    lab = here.lab
    uplinks = lab.crossing.uplinks.get(here.name, {})
    before, flooding, groups = edge(uplinks, lab.members.get(here.name, {}))
    entering = lab.broadcasts.entering(here.networks)
    along, copying = lab.broadcasts.flows(here.index, lab.trees)
    flows = [*before, *entering, *flooding, *along, *lab.forwarding.flows(here.index)]
    return Part(flows, [*groups, *copying, *lab.forwarding.groups[here.index]])


def _admit(here: SwitchView, after: Table) -> Part:
    flows, meters = admitting(here.lab.topology, here.firewalled)
    return Part(flows, (), meters)


def _egress(here: SwitchView, after: Table) -> Part:
    return Part(EGRESS if here.passing else ())


PIPELINE = [
    Stage(Table.CLASSIFY, _ingress),
    Stage(Table.SECURITY, _source_guard),
    Stage(Table.FIREWALL, _firewall, on_the_way=True),
    Stage(Table.MIRROR, _mirror, on_the_way=True),
    Stage(Table.CHAIN, _chain, on_the_way=True),
    Stage(Table.STEER, _steer),
    Stage(Table.RESOLVE, _resolve),
    Stage(Table.ROUTE, _route),
    Stage(Table.FORWARD, _forward),
    Stage(Table.ADMIT, _admit),
    Stage(Table.EGRESS, _egress),
]
"""In the order in which frames pass them. RESOLVE comes after the last stage that is on the way."""


def add_stage(
    name: str, compile: Callable[[SwitchView, Table], Part], before: Table, on_the_way: bool = True
) -> Table:
    """Register a stage with a table of its own, before the stage of the table ``before``. Returns its table.

    A stage on the way stands between SECURITY and STEER. Raises ValueError where there is no room for it.
    """
    places = [stage.table for stage in PIPELINE]
    if before not in places[1:]:
        raise ValueError(f"no stage can be added before {before.name}")
    if on_the_way and not Table.SECURITY < before <= Table.STEER:
        raise ValueError(f"{name}: what all frames pass stands after SECURITY and before STEER")
    at = places.index(before)
    table = add_table(name, places[at - 1], before)
    PIPELINE.insert(at, Stage(table, compile, on_the_way))
    return table


def compiled(here: SwitchView, pipeline: Sequence[Stage] = PIPELINE) -> Part:
    """All flows, groups and meters of one switch."""
    parts: list[Part] = []
    after = Table.RESOLVE
    for stage in reversed(pipeline):
        part = stage.compile(here, after)
        parts.insert(0, part)
        if stage.on_the_way and part.flows:
            after = stage.table
    flows = [flow for part in parts for flow in part.flows]
    meters = {meter.id: meter for part in parts for meter in part.meters}
    if here.lab.chains.service.hops or here.firewalled:  # nothing else gathers fragments or asks about errors
        flows += fragment_table(flows)
        if any(flow.actions == TO_CONTROLLER for flow in flows):
            meters[TOLD_ERRORS.id] = TOLD_ERRORS
    return Part(flows, [group for part in parts for group in part.groups], list(meters.values()))
