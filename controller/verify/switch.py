"""What one switch's tables do to a class of packets: every way that some packet of it can take. Pure.

The same pipeline as ``controller.simulate.switch``, for classes instead of single frames. A way is either a
part of the class (the packets that matched other flows), or a choice that no packet decides: a bucket of a
select group, a share of connections. Whatever is proven is proven of all ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from controller.flow.tables import (
    IN_PORT,
    NO_PORT,
    Action,
    Clone,
    Ct,
    CtClear,
    DecapNsh,
    DecTtl,
    EncapNsh,
    Flow,
    Group,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    Table,
    ToGroup,
    ToMeter,
)
from controller.simulate.shares import told_apart
from controller.verify.lookup import SwitchIndex
from controller.verify.packets import (
    INNER,
    Expression,
    Frame,
    Packets,
    Patched,
    is_zero,
    whole,
)
from controller.verify.tracking import track
from controller.verify.values import width
from wire.ethertype import NSH

_MOST_LOOKUPS = 64
"""Tables that a frame passes in one switch, with resubmits: Open vSwitch gives up after 64 of those."""


VANISHING = ("there is no group", "no flow matches", "it is looked up for ever", "no bucket of group")
"""How the reasons begin for which a frame should never end."""


class Lost(NamedTuple):
    """Where something of a frame ended without being sent: ``why`` in words; ``table``: of a lookup, or
    None; ``group``: the group's number."""

    why: str
    table: Table | None = None
    group: int | None = None


class Way(NamedTuple):
    """``packets``: which, and what they are now; None when nothing goes on. ``sent``: ports with frames.
    ``flows``: those that matched, in order. ``lost``: where something ended. ``ends``: nothing goes on, by
    any action. ``onward``: the rest is that of the state in the next table."""

    packets: Packets
    sent: tuple[tuple[int, Frame], ...] = ()
    flows: tuple[Flow, ...] = ()
    lost: tuple[Lost, ...] = ()
    groups: tuple[Group, ...] = ()
    ends: bool = False
    onward: bool = False


class Switch:
    """One switch with its tables; ``dead``: ports whose link is down."""

    def __init__(self, index: SwitchIndex, dead: frozenset[int] = frozenset()) -> None:
        self.index, self.dead = index, dead
        self._shares: dict[Spread, tuple[int, ...]] = {}

    def ways(self, packets: Packets, table: Table, until: Table | None = None) -> list[Way]:
        """What becomes of packets in a table (``in_port`` is in their frame), up to the table ``until``."""
        return self.lookup(Way(packets), table, until)

    def lookup(self, start: Way, table: Table, until: Table | None = None) -> list[Way]:
        """The ways from a table on; they end where a flow goes on to the table ``until``."""
        done: list[Way] = []
        waiting = [(start, table)]
        while waiting:
            way, at = waiting.pop()
            if len(way.flows) > _MOST_LOOKUPS:
                done.append(way._replace(lost=(*way.lost, Lost("it is looked up for ever", at)), ends=True))
                continue
            for part, flow in self.index.split(at, way.packets):
                if flow is None:
                    lost = (*way.lost, Lost("no flow matches", at))
                    done.append(way._replace(packets=part, lost=lost))
                    continue
                here = Way(part, way.sent, (*way.flows, flow), way.lost, way.groups)
                for after in self.apply(flow.actions, [here]):
                    if flow.goto is None or after.ends:
                        done.append(after)
                    elif flow.goto is until:
                        done.append(after._replace(onward=True))
                    else:
                        waiting.append((after, flow.goto))
        return done

    def apply(self, actions: Iterable[Action], ways: list[Way]) -> list[Way]:
        """The ways after some actions."""
        for action in actions:
            if len(ways) == 1 and not ways[0].ends:
                ways = self._one(action, ways[0])
            else:
                ways = [after for way in ways for after in ((way,) if way.ends else self._one(action, way))]
        return ways

    def _one(self, action: Action, way: Way) -> list[Way]:
        if isinstance(action, Output):
            return [self._output(action.port, way)]
        if isinstance(action, SetField):
            return [way._replace(packets=_set(way.packets, action.field, action.value, action.mask))]
        if isinstance(action, Move):
            return [way._replace(packets=after) for after in _move(way.packets, action)]
        if isinstance(action, ToGroup):
            return self._group(action, way)
        if isinstance(action, Resubmit):
            return self.lookup(way, action.table)
        if isinstance(action, Clone):
            return [_back(after, way) for after in self.apply(action.actions, [way])]
        if isinstance(action, Spread):
            return [
                way._replace(packets=way.packets.with_field(action.field, share))
                for share in self._sorts(action)
            ]
        if isinstance(action, Ct):
            return self._tracked(action, way)
        if isinstance(action, ToMeter):
            return [way]
        return [way._replace(packets=_changed(way.packets, action))]

    def _sorts(self, action: Spread) -> tuple[int, ...]:
        """Of the shares one of each sort that the tables tell apart."""
        if action not in self._shares:
            tables = self.index.tables
            self._shares[action] = told_apart(tables.flows, tables.groups, action.field, action.ways)
        return self._shares[action]

    def _output(self, port: int, way: Way) -> Way:
        """OpenFlow 1.5.1, 4.5: out of the ingress port only by the reserved port."""
        in_port = way.packets.frame["in_port"]
        assert isinstance(in_port, int)
        if port == in_port:
            return way._replace(lost=(*way.lost, Lost(f"not sent back out of its own port {port}")))
        port = in_port if port == IN_PORT else port
        if port == NO_PORT:
            return way._replace(lost=(*way.lost, Lost("it has no port to go back by")))
        if port in self.dead:
            return way._replace(lost=(*way.lost, Lost(f"port {port} is dead")))
        return way._replace(sent=(*way.sent, (port, way.packets.frame)))

    def _group(self, action: ToGroup, way: Way) -> list[Way]:
        """OpenFlow 1.5.1, 5.10.1; the frame itself stays as it is."""
        group = self.index.groups.get(action.group)
        if group is None:
            lost = Lost(f"there is no group {action.group}", group=action.group)
            return [way._replace(lost=(*way.lost, lost))]
        way = way._replace(groups=(*way.groups, group))
        live = [bucket for bucket in group.buckets if bucket.watch_port not in self.dead]
        if group.kind == "all":
            ways = [way]
            for bucket in live:
                ways = [_back(after, way) for one in ways for after in self.apply(bucket.actions, [one])]
            return ways
        if not live:
            lost = Lost(f"no bucket of group {group.id} is live", group=group.id)
            return [way._replace(lost=(*way.lost, lost))]
        chosen = live if group.kind == "select" else live[:1]
        return [_back(after, way) for bucket in chosen for after in self.apply(bucket.actions, [way])]

    def _tracked(self, action: Ct, way: Way) -> list[Way]:
        """Connection tracking. With a table, the tracked packets are looked up there, and these go on."""
        ways: list[Way] = []
        for untracked, tracked in track(action, way.packets):
            if tracked is None:
                lost = Lost("fragments wait for one another")
                ways.append(way._replace(packets=untracked, lost=(*way.lost, lost), ends=True))
            elif action.table is None:
                ways.append(way._replace(packets=tracked))
            else:
                here = way._replace(packets=tracked)
                remembered = untracked
                for after in self.lookup(here, action.table):
                    ways.append(_back(after, way._replace(packets=remembered)))
        return ways


def _back(after: Way, before: Way) -> Way:
    """The way on with the frame as it was, for the packets that took this way; connections stay known."""
    frame = before.packets.frame
    known = after.packets.frame.get("connections")
    if known is not None and known != frame.get("connections"):
        frame = {**frame, "connections": known}
    return after._replace(packets=Packets(frame, after.packets.known), ends=False)


def _set(packets: Packets, name: str, value: int, mask: int | None) -> Packets:
    every = whole(name)
    if mask is None or mask & every == every:
        return packets.with_field(name, value & every)
    expression = packets.value(name)
    if isinstance(expression, int):
        return packets.with_field(name, expression & ~mask | value & mask)
    return packets.with_field(name, patched(packets, name, value, mask))


def patched(packets: Packets, name: str, value: int, mask: int) -> Expression:
    """What a field is after some of its bits were written."""
    expression = packets.value(name)
    if isinstance(expression, int):
        return expression & ~mask | value & mask
    known = packets.bits(name, whole(name) & ~mask)
    if known is not None:
        return known | value & mask
    if isinstance(expression, str):
        return Patched(expression, value & mask, mask)
    variable, old, old_mask = expression
    return Patched(variable, old & ~mask | value & mask, old_mask | mask)


def _move(packets: Packets, action: Move) -> list[Packets]:
    """The packets after bits were copied. A single bit that is not known has two answers; of several such
    bits in the middle of a field nothing is known afterwards."""
    source_bits, target_bits = width(action.src), width(action.dst)
    if action.bits == source_bits == target_bits and not action.src_bit and not action.dst_bit:
        return [packets.with_field(action.dst, packets.value(action.src))]
    mask = ((1 << action.bits) - 1) << action.src_bit
    value = packets.bits(action.src, mask)
    if value is not None:
        moved = value >> action.src_bit << action.dst_bit
        into = ((1 << action.bits) - 1) << action.dst_bit
        return [packets.with_field(action.dst, patched(packets, action.dst, moved, into))]
    if action.bits == 1:
        answers = (packets.where(action.src, some, mask) for some in (0, mask))
        return [after for some in answers if some is not None for after in _move(some, action)]
    return [packets.with_field(action.dst, f"{action.dst}:moved")]


def _changed(packets: Packets, action: Action) -> Packets:
    if isinstance(action, CtClear):
        frame = {name: value for name, value in packets.frame.items() if not name.startswith("ct_")}
        return Packets(frame, packets.known)
    if isinstance(action, DecTtl):
        ttl = packets.bits("nw_ttl", whole("nw_ttl"))
        # of a TTL that is not known, nothing is known when it is one less
        less = f"{packets.value('nw_ttl')}:less" if ttl is None else max(0, ttl - 1)
        return packets.with_field("nw_ttl", less)
    if isinstance(action, PushVlan):
        return packets.with_field("vlan_vid", 0x1000 | action.vid).with_field("vlan_pcp", 0)
    if isinstance(action, PopVlan):
        return packets.with_field("vlan_vid", 0).with_field("vlan_pcp", 0)
    pipeline: Frame = {
        name: value
        for name, value in packets.frame.items()
        if is_zero(name) or name in ("in_port", "connections")
    }
    if isinstance(action, EncapNsh):
        inner = tuple(
            sorted((item for item in packets.frame.items() if item[0] not in pipeline), key=_by_name)
        )
        outer = {
            "eth_src": action.eth_src, "eth_dst": action.eth_dst, "eth_type": NSH,
            "nsh_spi": action.spi, "nsh_si": action.si, "vlan_vid": 0,
        }  # fmt: skip
        return Packets({**pipeline, **outer, INNER: inner}, packets.known)  # type: ignore[dict-item]
    if isinstance(action, DecapNsh):
        held = packets.frame.get(INNER, ())
        return Packets({**pipeline, **dict(held)}, packets.known)  # type: ignore[arg-type]
    raise TypeError(f"no meaning of {action!r}")


def _by_name(item: tuple[str, object]) -> str:
    return item[0]
