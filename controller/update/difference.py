"""What to send to a switch: the difference between the tables that it holds and those that it should hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.flow.tables import Flow, Group, Meter, SwitchTables
from controller.openflow import messages
from controller.openflow.meters import ADD, MODIFY, delete_meter, meter_mod
from controller.update.consistent_update import stages as stages


@dataclass(frozen=True, slots=True)
class Difference:
    """Changes for one switch. False when there is nothing to do. ``delete`` holds cookies."""

    add: tuple[Flow, ...] = ()
    delete: tuple[int, ...] = ()
    groups_add: tuple[Group, ...] = ()
    groups_modify: tuple[Group, ...] = ()
    groups_delete: tuple[int, ...] = ()
    meters_add: tuple[Meter, ...] = ()
    meters_modify: tuple[Meter, ...] = ()
    meters_delete: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.deleted)

    @property
    def added(self) -> int:
        """Flows, groups and meters that are new or changed."""
        groups = len(self.groups_add) + len(self.groups_modify)
        return len(self.add) + groups + len(self.meters_add) + len(self.meters_modify)

    @property
    def deleted(self) -> int:
        """Flows, groups and meters that go."""
        return len(self.delete) + len(self.groups_delete) + len(self.meters_delete)


def difference(
    cookies: Iterable[int],
    groups: Iterable[Group] | Mapping[int, Group],
    wanted: SwitchTables,
    meters: Iterable[Meter] = (),
) -> Difference:
    """Compare installed cookies, groups and meters with the wanted tables.

    Equal cookies are equal flows.  A group that changes, even its type, keeps its number, so a modification
    suffices.
    """
    installed = frozenset(cookies)
    present = dict(groups) if isinstance(groups, Mapping) else {group.id: group for group in groups}
    keep = {flow.cookie for flow in wanted.flows}
    new, changed = [], []
    for group in wanted.groups:
        old = present.pop(group.id, None)
        if old is None:
            new.append(group)
        elif old != group:
            changed.append(group)
    metered = {meter.id: meter for meter in meters}
    return Difference(
        tuple([flow for flow in wanted.flows if flow.cookie not in installed]),
        tuple(sorted(installed - keep)),
        tuple(new),
        tuple(changed),
        tuple(sorted(present)),
        tuple(meter for meter in wanted.meters if meter.id not in metered),
        tuple(meter for meter in wanted.meters if metered.get(meter.id, meter) != meter),
        tuple(sorted(metered.keys() - {meter.id for meter in wanted.meters})),
    )


def before_bundle(change: Difference) -> bytes:
    """The messages to send before the bundle. Meters must be there before flows lead to them, and a bundle
    cannot hold them (1.5.1, 6.9; Open vSwitch refuses them there)."""
    new = [meter_mod(meter, ADD, messages.BUNDLE_XID) for meter in change.meters_add]
    return b"".join(new + [meter_mod(meter, MODIFY, messages.BUNDLE_XID) for meter in change.meters_modify])


def after_bundle(change: Difference) -> bytes:
    """The messages to send after the bundle: the deletion of a meter deletes the flows that lead to it, so
    these have to go first."""
    return b"".join(delete_meter(number, messages.BUNDLE_XID) for number in change.meters_delete)


def transmission(change: Difference) -> bytes:
    """All messages for a switch, in order; its errors have the bundle's transaction number."""
    return before_bundle(change) + bundle(change) + after_bundle(change)


def bundle(change: Difference, number: int = 1) -> bytes:
    """The whole change as one atomic, ordered OpenFlow bundle (1.5.1, 6.9), ready to send.

    Groups are added before the flows that lead to them, and deleted after these flows. Old flows are deleted
    before new ones are added: so a new flow with an old one's match is never deleted.
    """
    xid = messages.BUNDLE_XID
    parts = [messages.bundle_open(number, xid)]

    def put(message: bytes) -> None:
        parts.append(messages.bundle_add(number, message, xid))

    for group in change.groups_add:
        put(messages.group_mod(group, messages.GROUP_ADD, xid))
    for group in change.groups_modify:
        put(messages.group_mod(group, messages.GROUP_MODIFY, xid))
    for cookie in change.delete:
        put(messages.delete_flows(cookie, messages.EXACT_COOKIE, xid=xid))
    parts += [messages.bundled_flow(flow, number) for flow in change.add]
    for old in change.groups_delete:
        put(messages.delete_group(old, xid))
    parts.append(messages.bundle_commit(number, xid))
    return b"".join(parts)
