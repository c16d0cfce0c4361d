"""What to send to a switch so that it holds what it should: installed against wanted."""

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

    Equal cookies are equal flows.  The type of a group can change only together with its
    flows' meaning, never its number, so a modification suffices.
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
        tuple(each for each in wanted.meters if each.id not in metered),
        tuple(each for each in wanted.meters if metered.get(each.id, each) != each),
        tuple(sorted(metered.keys() - {each.id for each in wanted.meters})),
    )


def before_bundle(change: Difference) -> bytes:
    """What is to be sent before the bundle: meters, which no bundle takes (1.5.1, 6.9; Open vSwitch refuses
    them there), must be there before flows lead to them."""
    new = [meter_mod(each, ADD, messages.BUNDLE_XID) for each in change.meters_add]
    return b"".join(new + [meter_mod(each, MODIFY, messages.BUNDLE_XID) for each in change.meters_modify])


def after_bundle(change: Difference) -> bytes:
    """What is to be sent after the bundle, once it is committed: a meter that goes takes the flows that
    still lead to it with it, so they have to have gone."""
    return b"".join(delete_meter(number, messages.BUNDLE_XID) for number in change.meters_delete)


def transmission(change: Difference) -> bytes:
    """All that a switch has to be sent, in order; its errors bear the bundle's transaction."""
    return before_bundle(change) + bundle(change) + after_bundle(change)


def bundle(change: Difference, number: int = 1) -> bytes:
    """The whole change as one atomic, ordered OpenFlow bundle (1.5.1, 6.9), ready to send.

    Groups come before the flows that lead to them, and go after; flows with an old cookie go
    before the new come, so that a new flow with an old one's match is never the one deleted.
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
