"""Flows and groups as text for people, in the notation of ``ovs-ofctl(8)``."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from controller.flow.tables import (
    CONTROLLER,
    IN_PORT,
    Action,
    Bucket,
    Clone,
    Ct,
    CtClear,
    DecapNsh,
    DecTtl,
    EncapNsh,
    Field,
    Flow,
    Group,
    Meter,
    Move,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    ToGroup,
    ToMeter,
)
from wire.ethertype import VLAN
from wire.mac import mac_text

_MAC = frozenset(("eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll"))
_IPV4 = frozenset(("ip_src", "ip_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst", "ct_nw_src", "ct_nw_dst"))
_IPV6 = frozenset(("ipv6_src", "ipv6_dst", "nd_target", "ct_ipv6_src", "ct_ipv6_dst"))
_HEXADECIMAL = frozenset(
    ("eth_type", "nd_reserved", "metadata", "tcp_flags", "ct_state", "vlan_vid", "nsh_spi", "packet_type")
)


def value_text(name: str, value: int) -> str:
    """A field's value as people write it: addresses as addresses."""
    if name in _MAC:
        return mac_text(value)
    if name in _IPV4:
        return str(IPv4Address(value))
    if name in _IPV6:
        return str(IPv6Address(value))
    return f"{value:#06x}" if name in _HEXADECIMAL else str(value)


_CT_STATE = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")


def _state_text(value: int, mask: int) -> str:
    """``+est-new+trk``: bits that must be set, and bits that must not be, from the lowest."""
    bits = [(name, 1 << number) for number, name in enumerate(_CT_STATE) if mask >> number & 1]
    return "".join(("+" if value & bit else "-") + name for name, bit in bits)


def _masked(name: str, value: int, mask: int | None) -> str:
    if name == "ct_state" and mask is not None:
        return _state_text(value, mask)
    text = value_text(name, value)
    return text if mask is None else f"{text}/{value_text(name, mask)}"


def match_text(match: tuple[Field, ...]) -> str:
    """``in_port=1,eth_src=02:...``; an empty match is ``any``."""
    return ",".join(f"{field.name}={_masked(*field)}" for field in match) or "any"


def action_text(action: Action) -> str:
    if isinstance(action, Output):
        if action.port == CONTROLLER:
            return "controller"
        return "in_port" if action.port == IN_PORT else f"output:{action.port}"
    if isinstance(action, ToGroup):
        return f"group:{action.group}"
    if isinstance(action, SetField):
        return f"set_field:{_masked(*action)}->{action.field}"
    if isinstance(action, DecTtl):
        return "dec_ttl"
    steering = _steering_text(action)
    if steering is not None:
        return steering
    if not isinstance(action, Move):
        raise TypeError(f"no text of {action!r}")
    source = _part(action.src, action.src_bit, action.bits)
    return f"move:{source}->{_part(action.dst, action.dst_bit, action.bits)}"


def _steering_text(action: Action) -> str | None:
    """As ``ovs-ofctl`` prints it, but with names of tables for their numbers; None: no such action."""
    if isinstance(action, PushVlan):
        return f"push_vlan:{VLAN:#06x},set_field:{0x1000 | action.vid}->vlan_vid"
    if isinstance(action, PopVlan):
        return "pop_vlan"
    if isinstance(action, Resubmit):
        return f"resubmit(,{action.table.name})"
    if isinstance(action, Clone):
        return f"clone({','.join(map(action_text, action.actions))})"
    if isinstance(action, Spread):
        hashed = "symmetric_l3l4+udp" if action.ports else "symmetric_l3"
        return f"multipath({hashed},0,modulo_n,{action.ways},0,{action.field}[])"
    if isinstance(action, EncapNsh):
        inside = (SetField("nsh_spi", action.spi), SetField("nsh_si", action.si))
        outside = (SetField("eth_src", action.eth_src), SetField("eth_dst", action.eth_dst))
        parts = ["encap(nsh(md_type=2))", *map(action_text, inside), "encap(ethernet)"]
        return ",".join([*parts, *map(action_text, outside)])
    return "decap(),decap()" if isinstance(action, DecapNsh) else _tracking_text(action)


def _tracking_text(action: Action) -> str | None:
    if isinstance(action, CtClear):
        return "ct_clear"
    if isinstance(action, ToMeter):
        return f"meter:{action.meter}"
    if not isinstance(action, Ct):
        return None
    parts = ["commit"] if action.commit else []
    parts += ["force"] if action.force else []
    parts += [] if action.table is None else [f"table={action.table.name}"]
    parts += [f"zone={action.zone}"]
    if action.nat is not None:
        parts.append("nat" + (f"({action.nat}={_translated(action)})" if action.nat else ""))
    if action.mark is not None:
        parts.append(f"exec(set_field:{action.mark:#x}->ct_mark)")
    return f"ct({','.join(parts)})"


def _translated(action: Ct) -> str:
    """``10.0.0.1:80-90``"""
    if action.address is None:
        return ""
    text = str(IPv4Address(action.address) if action.version == 4 else f"{IPv6Address(action.address)}")
    if action.port is None:
        return text
    first, last = action.port
    text = text if action.version == 4 else f"[{text}]"
    return f"{text}:{first}" + ("" if last == first else f"-{last}")


def meter_text(meter: Meter) -> str:
    """One line: number, packets a second, and burst in packets."""
    return f"meter {meter.id} {meter.rate} packets/s, burst {meter.burst}"


def _part(name: str, first: int, bits: int) -> str:
    return f"{name}[{first}]" if bits == 1 else f"{name}[{first}..{first + bits - 1}]"


def actions_text(flow: Flow) -> str:
    """Actions, then where the frame goes on: ``set_field:1->reg0,goto:RESOLVE``."""
    parts = [action_text(action) for action in flow.actions]
    if flow.goto is not None:
        parts.append(f"goto:{flow.goto.name}")
    return ",".join(parts) or "drop"


def flow_text(flow: Flow) -> str:
    """One line: table, priority, match, actions, and why."""
    idle = f" idle_timeout={flow.idle_timeout}" if flow.idle_timeout else ""
    head = f"{flow.table.name} {flow.priority}{idle} {match_text(flow.match)}"
    return f"{head} -> {actions_text(flow)}" + (f"  # {flow.why}" if flow.why else "")


def bucket_text(bucket: Bucket) -> str:
    watch = "" if bucket.id is None else f"bucket_id:{bucket.id},"
    watch += "" if bucket.watch_port is None else f"watch_port:{bucket.watch_port},"
    return watch + ",".join(map(action_text, bucket.actions))


def group_text(group: Group) -> str:
    """One line: number, kind, buckets, and why."""
    buckets = " | ".join(map(bucket_text, group.buckets))
    chosen = f" by hash({','.join(group.fields)})" if group.fields else ""
    return f"group {group.id} {group.kind}{chosen} [{buckets}]" + (f"  # {group.why}" if group.why else "")
